package solana

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain"
)

// call is an instruction for tests. Accounts are "name:roles" with the roles s
// (signs) and w (changes); names that known doesn't have are keys of that text.
type call struct {
	program  string
	accounts string
	data     []byte
}

func known(name string) key {
	k, ok := map[string]key{
		"system": systemProgram, "vote": voteProgram, "stake": stakeProgram, "budget": budgetProgram, "token": tokenProgram, "token2022": token2022Program,
		"associated": associatedProgram, "memo1": memo1Program, "memo2": memo2Program, "ed25519": ed25519Program, "secp256r1": secp256r1Program,
		"clock": clockSysvar, "rent": rentSysvar, "blockhashes": blockhashesSysvar, "history": stakeHistorySysvar, "config": stakeConfigAccount,
	}[name]
	if !ok {
		copy(k[:], name+strings.Repeat(".", addressSize-len(name)))
	}
	return k
}

// compile makes a message of calls whose fee payer is the account "me".
func compile(version int, calls ...call) *message {
	roles := map[string]string{"me": "sw"}
	names := []string{"me"}
	for _, c := range calls {
		for _, field := range append(strings.Fields(c.accounts), c.program+":") {
			name, role, _ := strings.Cut(field, ":")
			if _, ok := roles[name]; !ok {
				names = append(names, name)
			}
			roles[name] += role
		}
	}
	rank := func(name string) int {
		n := 0
		if !strings.Contains(roles[name], "s") {
			n += 2
		}
		if !strings.Contains(roles[name], "w") {
			n++
		}
		return n
	}
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	m := &message{version: version, blockhash: known("blockhash")}
	at := map[string]int{}
	for i, name := range names {
		at[name], m.keys = i, append(m.keys, known(name))
		switch rank(name) {
		case 0:
			m.signers++
		case 1:
			m.signers, m.readSigned = m.signers+1, m.readSigned+1
		case 3:
			m.readUnsigned++
		}
	}
	for _, c := range calls {
		in := instruction{program: at[c.program], data: c.data}
		for _, field := range strings.Fields(c.accounts) {
			name, _, _ := strings.Cut(field, ":")
			in.accounts = append(in.accounts, byte(at[name]))
		}
		m.instructions = append(m.instructions, in)
	}
	m.accounts = len(m.keys)
	return m
}

// data joins numbers and keys by their names as instructions have them.
func data(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case byte:
			b = append(b, p)
		case uint32:
			b = binary.LittleEndian.AppendUint32(b, p)
		case int: // amounts
			b = binary.LittleEndian.AppendUint64(b, uint64(p))
		case string:
			k := known(p)
			b = append(b, k[:]...)
		case []byte: // seeds
			b = append(binary.LittleEndian.AppendUint64(b, uint64(len(p))), p...)
		default:
			panic(fmt.Sprintf("%T", p))
		}
	}
	return b
}

// say prints an action's fields, and flags, with the names that known takes.
func say(a chain.Action, flags []string) string {
	v := reflect.ValueOf(a)
	var out []string
	for i := range v.NumField() {
		text := v.Field(i).String()
		if b, err := base58.Decode(text, addressSize); err == nil {
			text = strings.TrimRight(string(b), ".")
			for _, name := range []string{"system", "stake", "token", "token2022", "associated", "memo1", "memo2", "vote", "ed25519"} {
				if known(name) == key(b) {
					text = name
				}
			}
		}
		if text != "" {
			out = append(out, strings.ToLower(v.Type().Field(i).Name)+"="+text)
		}
	}
	return strings.Join(append(out, flags...), " ")
}

func effectsOf(t testing.TB, m *message) *chain.Effects {
	t.Helper()
	parsed, err := parseMessage(m.encode())
	if err != nil {
		t.Fatal(err)
	}
	me := known("me")
	e, err := parsed.effects(base58.Encode(me[:]))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func describe(t testing.TB, c call) string {
	t.Helper()
	e := effectsOf(t, compile(legacy, c))
	if len(e.Actions) != 1 {
		t.Fatalf("%+v", e.Actions)
	}
	return say(e.Actions[0], e.Flags)
}

func u(n uint32) uint32 { return n }

// understood is each instruction that is, and what is made of it.
func understood() map[string]call {
	seed := []byte("seed")
	return map[string]call{
		"kind=create_account asset=native to=new spender=owner amount=5 contract=system selector=00000000 method=createAccount other_signers":                     {"system", "me:sw new:sw", data(u(0), 5, 80, "owner")},
		"kind=delegate asset=native from=y to=me spender=owner amount=5 contract=system selector=00000000 method=createAccount assign other_signers":              {"system", "y:sw me:sw", data(u(0), 5, 80, "owner")},
		"kind=authorize spender=owner contract=system selector=01000000 method=assign account=x assign other_signers":                                             {"system", "x:sw", data(u(1), "owner")},
		"kind=delegate spender=owner contract=system selector=01000000 method=assign assign":                                                                      {"system", "me:sw", data(u(1), "owner")},
		"kind=transfer asset=native to=x amount=7 contract=system selector=02000000 method=transfer":                                                              {"system", "me:sw x:w", data(u(2), 7)},
		"kind=transfer asset=native from=y to=x amount=7 contract=system selector=02000000 method=transfer other_signers":                                         {"system", "y:sw x:w", data(u(2), 7)},
		"kind=create_account asset=native to=new spender=owner amount=5 contract=system selector=03000000 method=createAccountWithSeed":                           {"system", "me:sw new:w", data(u(3), "me", seed, 5, 80, "owner")},
		"kind=create_account asset=native to=new spender=owner amount=5 contract=system selector=03000000 method=createAccountWithSeed authority=b other_signers": {"system", "me:sw new:w b:s", data(u(3), "b", seed, 5, 80, "owner")},
		"kind=setup contract=system selector=04000000 method=advanceNonce account=n durable_nonce":                                                                {"system", "n:w blockhashes: me:s", data(u(4))},
		"kind=transfer asset=native from=n to=x amount=9 contract=system selector=05000000 method=withdrawNonce":                                                  {"system", "n:w x:w blockhashes: rent: me:s", data(u(5), 9)},
		"kind=setup spender=x contract=system selector=06000000 method=initializeNonce account=n":                                                                 {"system", "n:w blockhashes: rent:", data(u(6), "x")},
		"kind=authorize spender=x contract=system selector=07000000 method=authorizeNonce account=n nonce_authorize":                                              {"system", "n:w me:s", data(u(7), "x")},
		"kind=setup contract=system selector=08000000 method=allocate account=x other_signers":                                                                    {"system", "x:sw", data(u(8), 80)},
		"kind=delegate contract=system selector=08000000 method=allocate":                                                                                         {"system", "me:sw", data(u(8), 80)},
		"kind=setup spender=owner contract=system selector=09000000 method=allocateWithSeed account=x assign":                                                     {"system", "x:w me:s", data(u(9), "me", seed, 80, "owner")},
		"kind=authorize spender=owner contract=system selector=0a000000 method=assignWithSeed account=x assign":                                                   {"system", "x:w me:s", data(u(10), "me", seed, "owner")},
		"kind=transfer asset=native from=y to=x amount=7 contract=system selector=0b000000 method=transferWithSeed":                                               {"system", "y:w me:s x:w", data(u(11), 7, seed, "owner")},
		"kind=setup contract=system selector=0c000000 method=upgradeNonce account=n":                                                                              {"system", "n:w", data(u(12))},

		"kind=setup spender=x contract=token selector=00 method=initializeMint account=m":                                                                                               {"token", "m:w rent:", data(byte(0), byte(6), "x", byte(0))},
		"kind=setup asset=m spender=me contract=token selector=01 method=initializeAccount account=a":                                                                                   {"token", "a:w m: me: rent:", data(byte(1))},
		"kind=setup contract=token selector=02 method=initializeMultisig account=a text=2 of 8N2vZgSSGA2eV7APzH112kLhDcx2nYThyzKwUuhhzqoT 968mRW7iLbJFeMQSi5iJdqf1P2VJEE7ouxUtvv2Chrm3": {"token", "a:w rent: me: x:", data(byte(2), byte(2))},
		"kind=token_transfer from=a to=b amount=5 contract=token selector=03 method=transfer unknown_mint":                                                                              {"token", "a:w b:w me:s", data(byte(3), 5)},
		"kind=approve from=a spender=x amount=5 contract=token selector=04 method=approve approval unknown_mint":                                                                        {"token", "a:w x: me:s", data(byte(4), 5)},
		"kind=revoke from=a contract=token selector=05 method=revoke unknown_mint":                                                                                                      {"token", "a:w me:s", data(byte(5))},
		"kind=authorize spender=x contract=token selector=06 method=setAuthority account=a text=account_owner set_authority":                                                            {"token", "a:w me:s", data(byte(6), byte(2), byte(1), "x")},
		"kind=authorize contract=token selector=06 method=setAuthority account=m text=mint_tokens set_authority":                                                                        {"token", "m:w me:s", data(byte(6), byte(0), byte(0))},
		"kind=mint asset=m to=a amount=5 contract=token selector=07 method=mintTo":                                                                                                      {"token", "m:w a:w me:s", data(byte(7), 5)},
		"kind=burn asset=m from=a amount=5 contract=token selector=08 method=burn":                                                                                                      {"token", "a:w m:w me:s", data(byte(8), 5)},
		"kind=close asset=native from=a to=x contract=token selector=09 method=closeAccount close_account unknown_amount":                                                               {"token", "a:w x:w me:s", data(byte(9))},
		"kind=freeze asset=m contract=token selector=0a method=freezeAccount account=a":                                                                                                 {"token", "a:w m: me:s", data(byte(10))},
		"kind=freeze asset=m contract=token selector=0b method=thawAccount account=a":                                                                                                   {"token", "a:w m: me:s", data(byte(11))},
		"kind=token_transfer asset=m from=a to=b amount=5 contract=token selector=0c method=transferChecked":                                                                            {"token", "a:w m: b:w me:s", data(byte(12), 5, byte(6))},
		"kind=token_transfer asset=m from=a to=b amount=5 contract=token selector=0c method=transferChecked authority=multi other_signers":                                              {"token", "a:w m: b:w multi: me:s x:s", data(byte(12), 5, byte(6))},
		"kind=approve asset=m from=a spender=x amount=5 contract=token selector=0d method=approveChecked approval":                                                                      {"token", "a:w m: x: me:s", data(byte(13), 5, byte(6))},
		"kind=approve asset=m from=a spender=x amount=18446744073709551615 contract=token selector=0d method=approveChecked approval unlimited_approval":                                {"token", "a:w m: x: me:s", data(byte(13), -1, byte(6))},
		"kind=mint asset=m to=a amount=5 contract=token selector=0e method=mintToChecked":                                                                                               {"token", "m:w a:w me:s", data(byte(14), 5, byte(6))},
		"kind=burn asset=m from=a amount=5 contract=token selector=0f method=burnChecked":                                                                                               {"token", "a:w m:w me:s", data(byte(15), 5, byte(6))},
		"kind=setup asset=m spender=x contract=token selector=10 method=initializeAccount account=a":                                                                                    {"token", "a:w m: rent:", data(byte(16), "x")},
		"kind=wrap asset=native to=a contract=token selector=11 method=syncNative unknown_amount":                                                                                       {"token", "a:w", data(byte(17))},
		"kind=setup asset=m spender=x contract=token selector=12 method=initializeAccount account=a":                                                                                    {"token", "a:w m:", data(byte(18), "x")},
		"kind=setup contract=token selector=13 method=initializeMultisig account=a text=1 of 8N2vZgSSGA2eV7APzH112kLhDcx2nYThyzKwUuhhzqoT 968mRW7iLbJFeMQSi5iJdqf1P2VJEE7ouxUtvv2Chrm3": {"token", "a:w me: x:", data(byte(19), byte(1))},
		"kind=setup spender=x contract=token selector=14 method=initializeMint account=m text=freeze_account 9A3B4zqoERny43XRDaykXmQEe344wBDiVpnnS7LCRfRP":                              {"token", "m:w", data(byte(20), byte(6), "x", byte(1), "y")},
		"kind=setup contract=token selector=16 method=initializeImmutableOwner account=a":                                                                                               {"token", "a:w", data(byte(22))},
		"kind=token_transfer asset=m from=a to=b amount=5 contract=token2022 selector=0c method=transferChecked token_2022":                                                             {"token2022", "a:w m: b:w me:s", data(byte(12), 5, byte(6))},
		"kind=token_transfer asset=m from=a to=b amount=5 contract=token2022 selector=1a01 method=transferCheckedWithFee text=fee 1 token_2022":                                         {"token2022", "a:w m: b:w me:s", data(byte(26), byte(1), 5, byte(6), 1)},
		"kind=freeze asset=m contract=token2022 selector=2c01 method=pause token_2022":                                                                                                  {"token2022", "m:w me:s", data(byte(44), byte(1))},
		"kind=freeze asset=m contract=token2022 selector=2c02 method=resume token_2022":                                                                                                 {"token2022", "m:w me:s", data(byte(44), byte(2))},
		"kind=authorize spender=x contract=token2022 selector=06 method=setAuthority account=m text=pause set_authority token_2022":                                                     {"token2022", "m:w me:s", data(byte(6), byte(16), byte(1), "x")},

		"kind=create_account asset=native to=a spender=x contract=associated method=createAssociated account=m unknown_amount":                       {"associated", "me:sw a:w x: m: system: token: rent:", nil},
		"kind=create_account asset=native to=a spender=x contract=associated selector=00 method=createAssociated account=m unknown_amount":           {"associated", "me:sw a:w x: m: system: token2022:", data(byte(0))},
		"kind=create_account asset=native to=a spender=x contract=associated selector=01 method=createAssociatedIdempotent account=m unknown_amount": {"associated", "me:sw a:w x: m: system: token:", data(byte(1))},
		"kind=token_transfer asset=m from=a to=b contract=associated selector=02 method=recoverNested close_account unknown_amount":                  {"associated", "a:w m: b:w o: om: me:sw token:", data(byte(2))},

		"kind=memo contract=memo1 method=memo text=hé": {"memo1", "", []byte("hé")},
		"kind=memo contract=memo2 method=memo text=hé": {"memo2", "me:s", []byte("hé")},

		"kind=setup spender=y contract=stake selector=00000000 method=initializeStake account=k text=staker 968mRW7iLbJFeMQSi5iJdqf1P2VJEE7ouxUtvv2Chrm3":                                                                                                 {"stake", "k:w rent:", data(u(0), "x", "y", 0, 0, "system")},
		"kind=setup spender=y contract=stake selector=00000000 method=initializeStake account=k text=staker 968mRW7iLbJFeMQSi5iJdqf1P2VJEE7ouxUtvv2Chrm3 locked until time 1 epoch 0 custodian 968mRW7iLbJFeMQSi5iJdqf1P2VJEE7ouxUtvv2Chrm3 stake_lockup": {"stake", "k:w rent:", data(u(0), "x", "y", 1, 0, "x")},
		"kind=authorize spender=x contract=stake selector=01000000 method=authorizeStake account=k text=withdrawer stake_authorize":                                                                                                                       {"stake", "k:w clock: me:s", data(u(1), "x", u(1))},
		"kind=stake to=v contract=stake selector=02000000 method=delegateStake account=k":                                                                                                                                                                 {"stake", "k:w v: clock: history: config: me:s", data(u(2))},
		"kind=transfer asset=native from=k to=x amount=5 contract=stake selector=03000000 method=splitStake":                                                                                                                                              {"stake", "k:w x:w me:s", data(u(3), 5)},
		"kind=transfer asset=native from=k to=x amount=5 contract=stake selector=04000000 method=withdrawStake":                                                                                                                                           {"stake", "k:w x:w clock: history: me:s", data(u(4), 5)},
		"kind=transfer asset=native from=k to=x amount=5 contract=stake selector=04000000 method=withdrawStake other_signers":                                                                                                                             {"stake", "k:w x:w clock: history: me:s c:s", data(u(4), 5)},
		"kind=unstake contract=stake selector=05000000 method=deactivateStake account=k":                                                                                                                                                                  {"stake", "k:w clock: me:s", data(u(5))},
		"kind=authorize spender=x contract=stake selector=06000000 method=setStakeLockup account=k text=time 5 stake_lockup":                                                                                                                              {"stake", "k:w me:s", data(u(6), byte(1), 5, byte(0), byte(1), "x")},
		"kind=close asset=native from=k to=x contract=stake selector=07000000 method=mergeStake close_account unknown_amount":                                                                                                                             {"stake", "x:w k:w clock: history: me:s", data(u(7))},
		"kind=authorize spender=x contract=stake selector=08000000 method=authorizeStakeWithSeed account=k text=staker stake_authorize":                                                                                                                   {"stake", "k:w me:s clock:", data(u(8), "x", u(0), seed, "owner")},
		"kind=setup spender=y contract=stake selector=09000000 method=initializeStakeChecked account=k text=staker 968mRW7iLbJFeMQSi5iJdqf1P2VJEE7ouxUtvv2Chrm3 other_signers":                                                                            {"stake", "k:w rent: x: y:s", data(u(9))},
		"kind=authorize spender=x contract=stake selector=0a000000 method=authorizeStakeChecked account=k text=staker other_signers stake_authorize":                                                                                                      {"stake", "k:w clock: me:s x:s", data(u(10), u(0))},
		"kind=authorize spender=x contract=stake selector=0b000000 method=authorizeStakeCheckedWithSeed account=k text=staker other_signers stake_authorize":                                                                                              {"stake", "k:w me:s clock: x:s", data(u(11), u(0), seed, "owner")},
		"kind=transfer asset=native from=k to=x amount=5 contract=stake selector=10000000 method=moveStake":                                                                                                                                               {"stake", "k:w x:w me:s", data(u(16), 5)},
		"kind=transfer asset=native from=k to=x amount=5 contract=stake selector=11000000 method=moveLamports":                                                                                                                                            {"stake", "k:w x:w me:s", data(u(17), 5)},
	}
}

func TestInstructions(t *testing.T) {
	for want, c := range understood() {
		e := effectsOf(t, compile(legacy, c))
		slices.Sort(e.Flags)
		if got := say(e.Actions[0], e.Flags); got != want || len(e.Actions) != 1 {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func opaque(c call) string {
	return strings.TrimSuffix("kind=opaque contract="+c.program+" selector="+hex.EncodeToString(c.data[:min(firstBytes, len(c.data))]), " selector=")
}

// TestTransferHooks: what a mint's hook is given may be anything that doesn't
// sign; the plain transfer, which such a mint refuses, isn't taken for one.
func TestTransferHooks(t *testing.T) {
	for want, c := range map[string]call{
		"kind=token_transfer asset=m from=a to=b amount=5 contract=token2022 selector=0c method=transferChecked token_2022 transfer_hook":                     {"token2022", "a:w m: b:w me:s x:w who: state:", data(byte(12), 5, byte(6))},
		"kind=token_transfer asset=m from=a to=b amount=5 contract=token2022 selector=1a01 method=transferCheckedWithFee text=fee 1 token_2022 transfer_hook": {"token2022", "a:w m: b:w me:s who: state:", data(byte(26), byte(1), 5, byte(6), 1)},
	} {
		e := effectsOf(t, compile(legacy, c))
		slices.Sort(e.Flags)
		if got := say(e.Actions[0], e.Flags); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestInstructionsAreExact: with less or more data, fewer or more accounts,
// accounts of lesser roles or other ones where the program wants a certain
// one, an instruction isn't understood any more, or is another one.
func TestInstructionsAreExact(t *testing.T) {
	tried := 0
	for want, c := range understood() {
		if strings.Contains(want, "kind=memo") {
			continue
		}
		same := func(name string, c call, but ...string) {
			t.Helper()
			tried++
			e := effectsOf(t, compile(legacy, c))
			method := e.Actions[0].Method
			if e.Actions[0].Kind != chain.ActionOpaque && !slices.Contains(but, method) {
				t.Errorf("%s\n%s: still %s", want, name, say(e.Actions[0], e.Flags))
			}
			if e.Actions[0].Kind == chain.ActionOpaque && (method != "" || !strings.HasPrefix(say(e.Actions[0], nil), "kind=opaque contract=")) {
				t.Errorf("%s: opaque, but %s", want, say(e.Actions[0], nil))
			}
		}
		for i := range c.data {
			same(fmt.Sprintf("%d bytes", i), call{c.program, c.accounts, c.data[:i]}, "createAssociated")
		}
		more := append(bytes.Clone(c.data), 0)
		if c.data == nil {
			more = []byte{0, 0}
		}
		same("a byte more", call{c.program, c.accounts, more})
		fields := strings.Fields(c.accounts)
		for i, field := range fields {
			rest := strings.Join(slices.Delete(slices.Clone(fields), i, i+1), " ")
			// What may be left out: rent, custodians, some of several signers,
			// and who is the payer besides.
			if name := strings.TrimRight(field, ":sw"); name == "rent" && c.program == "associated" || name == "c" || strings.Contains(want, "authority=multi") || strings.Contains(want, "initializeMultisig") {
				continue
			}
			same("without "+field, call{c.program, rest, c.data}, "initializeStakeChecked", map[bool]string{true: "withdrawStake"}[strings.Contains(want, "withdrawStake other_signers")])
			name, role, _ := strings.Cut(field, ":")
			for _, r := range role {
				lesser := slices.Clone(fields)
				if lesser[i] = "other:" + strings.Replace(role, string(r), "", 1); name == "b" && c.program == "system" {
					continue
				}
				same(fmt.Sprintf("%s without %c", field, r), call{c.program, strings.Join(lesser, " "), c.data})
			}
			if known(name) != known("."+name) && strings.Contains(" rent clock history config blockhashes system token token2022 ", " "+name+" ") {
				other := slices.Clone(fields)
				other[i] = "other:"
				same("another for "+name, call{c.program, strings.Join(other, " "), c.data})
			}
		}
		same("a changing account more", call{c.program, c.accounts + " more:w", c.data}, "initializeMultisig")
	}
	if tried < 1500 {
		t.Errorf("only %d tried", tried)
	}
}

// strange are instructions that aren't understood.
func strange() map[string]call {
	return map[string]call{
		"unknown program":            {"who", "me:sw", []byte("anything and more")},
		"no data":                    {"system", "me:sw", nil},
		"unknown System":             {"system", "me:sw x:w", data(u(13), 7)},
		"unknown Token":              {"token", "a:w", data(byte(23), 7)},
		"Token batch":                {"token", "a:w", data(byte(255), 7)},
		"fees of the older Token":    {"token", "a:w m: b:w me:s", data(byte(26), byte(1), 5, byte(6), 1)},
		"pause of the older Token":   {"token", "m:w me:s", data(byte(44), byte(1))},
		"Token-2022 extension":       {"token2022", "a:w m: b:w me:s", data(byte(27), byte(1), 5, byte(6), 1)},
		"a hook that may sign":       {"token2022", "a:w m: b:w me:s hook: me:s", data(byte(12), 5, byte(6))},
		"a hook with another signer": {"token2022", "a:w m: b:w me:s hook: x:s", data(byte(12), 5, byte(6))},
		"a hook of one account":      {"token2022", "a:w m: b:w me:s who:", data(byte(12), 5, byte(6))},
		"a hook of no mint":          {"token2022", "a:w b:w me:s hook: state:", data(byte(3), 5)},
		"a hook of an approval":      {"token2022", "a:w m: x: me:s hook: state:", data(byte(13), 5, byte(6))},
		"a hook of the older Token":  {"token", "a:w m: b:w me:s hook:w", data(byte(12), 5, byte(6))},
		"unknown authority":          {"token", "a:w me:s", data(byte(6), byte(4), byte(0))},
		"unknown 2022 authority":     {"token2022", "a:w me:s", data(byte(6), byte(17), byte(0))},
		"bad option":                 {"token", "a:w me:s", data(byte(6), byte(0), byte(2), "x")},
		"a payment's second payer":   {"system", "me:sw x:w y:s", data(u(2), 7)},
		"twelve owners":              {"token", "a:w b:w multi:" + strings.Repeat(" me:s", 12), data(byte(3), 5)},
		"no owners":                  {"token", "a:w b:w multi:", data(byte(3), 5)},
		"three of two owners":        {"token", "a:w rent: me: x:", data(byte(2), byte(3))},
		"none of two owners":         {"token", "a:w rent: me: x:", data(byte(2), byte(0))},
		"another's seed":             {"system", "me:sw new:w", data(u(3), "b", []byte("seed"), 5, 80, "owner")},
		"a long seed":                {"system", "me:sw new:w", data(u(3), "me", make([]byte, 33), 5, 80, "owner")},
		"a seed of no text":          {"system", "me:sw new:w", data(u(3), "me", []byte("\xff"), 5, 80, "owner")},
		"associated, other token":    {"associated", "me:sw a:w x: m: system: who:", nil},
		"associated, unknown":        {"associated", "me:sw a:w x: m: system: token:", data(byte(3))},
		"memo of no text":            {"memo2", "me:s", []byte("\xff")},
		"memo with who doesn't sign": {"memo2", "x:", []byte("hi")},
		"Stake, unknown":             {"stake", "k:w me:s", data(u(13))},
		"Stake, third authority":     {"stake", "k:w clock: me:s", data(u(1), "x", u(2))},
		"Vote":                       {"vote", "k:w clock: me:s", data(u(1), "x", u(1))},
		"precompile":                 {"ed25519", "", []byte{1, 0}},
	}
}

func TestOpaque(t *testing.T) {
	for name, c := range strange() {
		if got := describe(t, c); !strings.HasPrefix(got, opaque(c)) {
			t.Errorf("%s: %s", name, got)
		}
	}
	// Where a payment is found again is no matter.
	for want, c := range map[string]call{
		"kind=transfer asset=native to=x amount=7 contract=system selector=02000000 method=transfer":         {"system", "me:sw x:w ref1: ref2:", data(u(2), 7)},
		"kind=token_transfer asset=m from=a to=b amount=5 contract=token selector=0c method=transferChecked": {"token", "a:w m: b:w me:s ref1: ref2:", data(byte(12), 5, byte(6))},
		"kind=memo contract=memo1 method=memo text=hi":                                                       {"memo1", "x:", []byte("hi")},
	} {
		if got := describe(t, c); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	}
}

// TestUnresolved: an account out of a table is none that anybody knows, in
// whatever place it stands; the tables alone do no harm.
func TestUnresolved(t *testing.T) {
	for name, c := range understood() {
		m := compile(0, c)
		m.lookups = []lookup{{table: known("table"), writable: []byte{7}, readonly: []byte{9}}}
		if e := effectsOf(t, m); e.Actions[0].Kind == chain.ActionUnresolved || !slices.Contains(e.Flags, flagLookup) {
			t.Errorf("%s: %+v", name, e)
		}
		for i, a := range m.instructions[0].accounts {
			if int(a) < m.signers {
				continue
			}
			at := len(m.keys) + 1
			if m.isWritable(int(a)) {
				at--
			}
			was := m.instructions[0].accounts[i]
			m.instructions[0].accounts[i] = byte(at)
			e := effectsOf(t, m)
			m.instructions[0].accounts[i] = was
			// Opaque where one account has to be another's equal.
			if k := e.Actions[0].Kind; k != chain.ActionUnresolved && k != chain.ActionOpaque || chain.Ruled(k) {
				t.Errorf("%s: account %d out of a table: %+v", name, i, e.Actions)
			}
		}
	}
	m := compile(0, call{"system", "me:sw x:w", data(u(2), 7)})
	m.lookups = []lookup{{table: known("table"), writable: []byte{7}}}
	m.instructions[0].accounts[1] = byte(len(m.keys))
	table := known("table")
	if to := effectsOf(t, m).Actions[0].To; to != "lookup:"+base58.Encode(table[:])+":7" {
		t.Errorf("to %s", to)
	}
}

// fee is what some calls may cost at most.
type fee struct {
	name  string
	calls []call
	want  string
}

func fees() []fee {
	transfer := call{"system", "me:sw x:w", data(u(2), 7)}
	limit := func(n uint32) call { return call{"budget", "", data(byte(2), n)} }
	price := func(n int) call { return call{"budget", "", data(byte(3), n)} }
	return []fee{
		{"plain", []call{transfer}, "5000"},
		{"limit alone", []call{limit(300), transfer}, "5000"},
		{"price and limit", []call{price(1_000_000), limit(300), transfer}, "5300"},
		{"rounded up", []call{price(1), limit(1), transfer}, "5001"},
		{"no units", []call{price(1 << 40), limit(0), transfer}, "5000"},
		{"two builtins", []call{price(1_000_000), transfer}, "11000"},
		{"another program", []call{price(1_000_000), {"who", "", nil}}, "208000"},
		{"Stake may be one", []call{price(1_000_000), {"stake", "k:w clock: me:s", data(u(5))}}, "208000"},
		{"at most 1.4 million", []call{price(1_000_000), {"who", "", nil}, {"who", "", nil}, {"who", "", nil}, {"who", "", nil}, {"who", "", nil}, {"who", "", nil}, {"who", "", nil}}, "1405000"},
		{"limit over the most", []call{price(1_000_000), limit(1 << 31), transfer}, "1405000"},
		{"two signers", []call{{"system", "y:sw x:w", data(u(2), 7)}}, "10000"},
		{"precompiles", []call{transfer, {"ed25519", "", []byte{3, 0}}, {"secp256r1", "", []byte{2}}, {"ed25519", "", nil}}, "30000"},
		{"no end", []call{price(-1), limit(1_400_000), transfer}, "18446744073709551615"},
		{"nearly no end", []call{price(-1), limit(1_000_000), transfer}, "18446744073709551615"},
		{"large", []call{price(-1), limit(999_999), transfer}, "18446725626965482906"},
		{"heap and data", []call{{"budget", "", data(byte(1), u(256<<10))}, {"budget", "", data(byte(4), u(1))}, transfer}, "5000"},
	}
}

func TestFees(t *testing.T) {
	for _, c := range fees() {
		if got := effectsOf(t, compile(legacy, c.calls...)).FeeMax; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	transfer := call{"system", "me:sw x:w", data(u(2), 7)}
	limit := func(n uint32) call { return call{"budget", "", data(byte(2), n)} }
	price := func(n int) call { return call{"budget", "", data(byte(3), n)} }
	for name, calls := range map[string][]call{
		"a limit twice":        {limit(1), limit(1)},
		"a price twice":        {price(1), price(2)},
		"no data":              {{"budget", "", nil}},
		"units and fee":        {{"budget", "", data(byte(0), u(1), u(2))}},
		"unknown":              {{"budget", "", data(byte(5), u(1))}},
		"short":                {{"budget", "", data(byte(2), byte(1))}},
		"long":                 {{"budget", "", data(byte(2), u(1), byte(0))}},
		"a limit like a price": {{"budget", "", data(byte(2), 1)}},
		"accounts":             {{"budget", "x:", data(byte(2), u(1))}},
		"no heap":              {{"budget", "", data(byte(1), u(31<<10))}},
		"a large heap":         {{"budget", "", data(byte(1), u(257<<10))}},
		"an odd heap":          {{"budget", "", data(byte(1), u(33<<10+1))}},
		"no data of accounts":  {{"budget", "", data(byte(4), u(0))}},
		"heap twice":           {{"budget", "", data(byte(1), u(32<<10))}, transfer, {"budget", "", data(byte(1), u(32<<10))}},
	} {
		if e, err := compile(legacy, calls...).effects(""); err == nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// TestFeePayer: another may pay, and the nonce that makes a transaction stay
// valid is one only in the first place.
func TestFeePayer(t *testing.T) {
	m := compile(legacy, call{"system", "y:sw x:w", data(u(2), 7)}, call{"system", "n:w blockhashes: me:s", data(u(4))})
	y := known("y")
	e, err := m.effects(base58.Encode(y[:]))
	me, hash := known("me"), known("blockhash")
	if err != nil || e.FeePayer != base58.Encode(me[:]) || e.Nonce != base58.Encode(hash[:]) || !slices.Equal(e.Flags, []string{flagOtherPayer, flagOtherSigners}) || e.Actions[0].From != "" {
		t.Errorf("%+v, %v", e, err)
	}
}
