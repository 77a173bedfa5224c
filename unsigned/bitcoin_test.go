package unsigned

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/bitcoin"
)

const (
	p2wpkhOther = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"
	p2trOther   = "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"
	p2wshOther  = "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3"
	p2pkhOther  = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"
	p2shOther   = "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"
)

func codecOf(t testing.TB, slug string) bitcoin.Codec {
	t.Helper()
	n, err := network(slug, bitcoin.Family)
	if err != nil {
		t.Fatal(err)
	}
	return n.Codec.(bitcoin.Codec)
}

// own is an address of the wallet's, by type.
func own(t testing.TB, slug, kind string) string {
	t.Helper()
	pub, err := hex.DecodeString(secpKey())
	if err != nil {
		t.Fatal(err)
	}
	all, err := codecOf(t, slug).AddressTypes(pub)
	if err != nil {
		t.Fatal(err)
	}
	return all[kind]
}

func scriptOf(t testing.TB, slug, address string) []byte {
	t.Helper()
	s, err := codecOf(t, slug).ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// funding is a transaction that pays amounts to an address of the wallet's,
// with or without a witness, and its id.
func funding(t testing.TB, slug, kind string, salt byte, witness bool, amounts ...uint64) (text, id string) {
	t.Helper()
	script := scriptOf(t, slug, own(t, slug, kind))
	body := append([]byte{1}, slices.Repeat([]byte{salt}, 32)...)
	body = binary.LittleEndian.AppendUint32(body, 0)
	body = append(append(body, 0, 0xff, 0xff, 0xff, 0xff), byte(len(amounts)))
	for _, v := range amounts {
		body = binary.LittleEndian.AppendUint64(body, v)
		body = append(append(body, byte(len(script))), script...)
	}
	bare := slices.Concat([]byte{2, 0, 0, 0}, body, []byte{0, 0, 0, 0})
	once := sha256.Sum256(bare)
	hash := sha256.Sum256(once[:])
	slices.Reverse(hash[:])
	if witness {
		bare = slices.Concat([]byte{2, 0, 0, 0, 0, 1}, body, []byte{1, 1, 9, 0, 0, 0, 0})
	}
	return hex.EncodeToString(bare), hex.EncodeToString(hash[:])
}

// payment spends 100,000 sat of a P2WPKH output and pays 30,000.
func payment(t testing.TB) (p BitcoinPayment, id string) {
	t.Helper()
	text, id := funding(t, "bitcoin", bitcoin.TypeP2WPKH, 1, true, 100_000)
	return BitcoinPayment{Network: "bitcoin", PublicKey: secpKey(), Inputs: []BitcoinInput{{text, 0}},
		Recipients: []BitcoinRecipient{{p2wpkhOther, 30_000}}, ChangeAddress: own(t, "bitcoin", bitcoin.TypeP2WPKH), FeeRate: 10}, id
}

func pays(to, amount string) chain.Action {
	return chain.Action{Kind: chain.ActionTransfer, Asset: chain.AssetNative, To: to, Amount: amount}
}

func returns(to, amount string) chain.Action {
	return chain.Action{Kind: chain.ActionChange, Asset: chain.AssetNative, To: to, Amount: amount}
}

func bitcoinCases(t testing.TB) []one {
	t.Helper()
	var list []one
	change := own(t, "bitcoin", bitcoin.TypeP2WPKH)
	add := func(name, fee string, flags []string, modify func(*BitcoinPayment), actions ...chain.Action) {
		p, id := payment(t)
		modify(&p)
		list = append(list, one{name: "BTC" + name, build: p, nonce: id + ":0", fee: fee, format: "bitcoin-psbt-v2", flags: flags, actions: actions})
	}
	add("", "1410", nil, func(*BitcoinPayment) {}, pays(p2wpkhOther, "30000"), returns(change, "68590"))
	add(", replaceable", "1410", []string{"replaceable"}, func(p *BitcoinPayment) { p.Replaceable = true }, pays(p2wpkhOther, "30000"), returns(change, "68590"))
	add(", a rate with a fraction", "177", nil, func(p *BitcoinPayment) { p.FeeRate = 1.2505 }, pays(p2wpkhOther, "30000"), returns(change, "69823"))
	add(", the lowest rate", "15", nil, func(p *BitcoinPayment) { p.FeeRate = 0.1 }, pays(p2wpkhOther, "30000"), returns(change, "69985"))
	add(" to itself", "1410", nil, func(p *BitcoinPayment) { p.Recipients[0].Address = change }, returns(change, "30000"), returns(change, "68590"))
	add(" without change", "1300", nil, func(p *BitcoinPayment) { p.Recipients[0].Amount = 98_700 }, pays(p2wpkhOther, "98700"))
	add(" with the largest dust for change", "1703", nil, func(p *BitcoinPayment) { p.Recipients[0].Amount = 98_297 }, pays(p2wpkhOther, "98297"))
	add(" with the least change", "1410", nil, func(p *BitcoinPayment) { p.Recipients[0].Amount = 98_296 }, returns(change, "294"), pays(p2wpkhOther, "98296"))
	add(" to many, in BIP-69's order", "3050", nil, func(p *BitcoinPayment) {
		p.ChangeAddress = own(t, "bitcoin", bitcoin.TypeP2TR)
		p.Recipients = []BitcoinRecipient{{p2trOther, 5000}, {p2wshOther, 4000}, {p2pkhOther, 5000}, {p2shOther, 5000}, {strings.ToUpper(p2wpkhOther), 600}}
	}, pays(p2wpkhOther, "600"), pays(p2wshOther, "4000"), pays(p2trOther, "5000"), pays(p2pkhOther, "5000"), pays(p2shOther, "5000"), returns(own(t, "bitcoin", bitcoin.TypeP2TR), "77350"))
	list = append(list, bitcoinOfEachType(t), bitcoinOnTestnet(t))
	return append(list, bitcoinRefusals(t)...)
}

// bitcoinOfEachType spends an output of each type of address, and two of one
// transaction.
func bitcoinOfEachType(t testing.TB) one {
	t.Helper()
	p, _ := payment(t)
	p.Inputs, p.FeeRate = nil, 2
	var ids []string
	for i, kind := range []string{bitcoin.TypeP2WPKH, bitcoin.TypeP2TR, bitcoin.TypeP2PKH, bitcoin.TypeP2SHP2WPKH} {
		text, id := funding(t, "bitcoin", kind, byte(9*i), i%2 == 0, 546, 20_000, 30_000)
		p.Inputs, ids = append(p.Inputs, BitcoinInput{text, 2}, BitcoinInput{text, 1}), append(ids, id)
	}
	slices.Sort(ids)
	fee := uint64(2 * 802)
	return one{name: "BTC of each type", build: p, nonce: ids[0] + ":1", fee: decimal(fee), format: "bitcoin-psbt-v2",
		actions: []chain.Action{pays(p2wpkhOther, "30000"), returns(p.ChangeAddress, decimal(170_000-fee))}}
}

func bitcoinOnTestnet(t testing.TB) one {
	t.Helper()
	text, id := funding(t, "bitcoin-signet", bitcoin.TypeP2TR, 3, false, 50_000)
	to := own(t, "bitcoin-signet", bitcoin.TypeP2PKH)
	p := BitcoinPayment{Network: "bitcoin-signet", PublicKey: secpKey(), Inputs: []BitcoinInput{{text, 0}}, Recipients: []BitcoinRecipient{{"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", 40_000}},
		ChangeAddress: to, FeeRate: 1, Replaceable: true}
	return one{name: "BTC on signet", build: p, nonce: id + ":0", fee: "133", format: "bitcoin-psbt-v2", flags: []string{"replaceable"},
		actions: []chain.Action{returns(to, "9867"), returns("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", "40000")}}
}

func bitcoinRefusals(t testing.TB) []one {
	t.Helper()
	var list []one
	refused := func(name, field string, change func(*BitcoinPayment)) {
		p, _ := payment(t)
		change(&p)
		list = append(list, one{name: "BTC: " + name, build: p, refused: field})
	}
	recipient := func(name, address string, amount uint64) {
		refused(name, "Recipients[0]", func(p *BitcoinPayment) { p.Recipients[0] = BitcoinRecipient{address, amount} })
	}
	refused("another network", "Network", func(p *BitcoinPayment) { p.Network = "ethereum" })
	refused("no key", "PublicKey", func(p *BitcoinPayment) { p.PublicKey = "" })
	refused("a key in capitals", "PublicKey", func(p *BitcoinPayment) { p.PublicKey = strings.ToUpper(p.PublicKey) })
	refused("a key of another size", "PublicKey", func(p *BitcoinPayment) { p.PublicKey += "00" })
	refused("a key that isn't on the curve", "PublicKey", func(p *BitcoinPayment) { p.PublicKey = "02" + strings.Repeat("00", 31) + "05" })
	refused("another wallet's input", "Inputs[0]", func(p *BitcoinPayment) {
		p.PublicKey = "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"
	})
	refused("no inputs", "Inputs", func(p *BitcoinPayment) { p.Inputs = nil })
	refused("an input that is no hex", "Inputs[0]", func(p *BitcoinPayment) { p.Inputs[0].Transaction += "x" })
	refused("an input that is no transaction", "Inputs[1]", func(p *BitcoinPayment) { p.Inputs = append(p.Inputs, BitcoinInput{p.Inputs[0].Transaction + "00", 0}) })
	refused("an output that isn't there", "Inputs[0]", func(p *BitcoinPayment) { p.Inputs[0].Index = 1 })
	refused("an output twice", "Inputs[1]", func(p *BitcoinPayment) { p.Inputs = append(p.Inputs, p.Inputs[0]) })
	refused("no recipients", "Recipients", func(p *BitcoinPayment) { p.Recipients = nil })
	recipient("a test network's address", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", 1000)
	recipient("a test network's base58", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", 1000)
	recipient("a typing error", p2wpkhOther[:41]+"p", 1000)
	recipient("a typing error in base58", p2pkhOther[:33]+"3", 1000)
	recipient("mixed case", "Bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", 1000)
	recipient("a future witness version", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", 1000)
	recipient("a Taproot key that is no point", "bc1pqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqzs2jkusy", 1000)
	recipient("a script for an address", "script:6a", 0)
	recipient("nobody", "", 1000)
	recipient("dust", p2wpkhOther, 293)
	recipient("dust to a script", p2shOther, 539)
	recipient("more than there is", p2wpkhOther, math.MaxUint64)
	refused("more in sum than there is", "Inputs", func(p *BitcoinPayment) {
		p.Recipients = []BitcoinRecipient{{p2wpkhOther, 2_099_999_999_999_000}, {p2wpkhOther, 2_099_999_999_999_000}}
	})
	refused("no change address", "ChangeAddress", func(p *BitcoinPayment) { p.ChangeAddress = "" })
	refused("another's change address", "ChangeAddress", func(p *BitcoinPayment) { p.ChangeAddress = p2wpkhOther })
	refused("no rate", "FeeRate", func(p *BitcoinPayment) { p.FeeRate = 0 })
	refused("too low a rate", "FeeRate", func(p *BitcoinPayment) { p.FeeRate = 0.099 })
	refused("too high a rate", "FeeRate", func(p *BitcoinPayment) { p.FeeRate = 1000.001 })
	refused("all to the recipient", "Inputs", func(p *BitcoinPayment) { p.Recipients[0].Amount = 100_000 })
	refused("a satoshi too much", "Inputs", func(p *BitcoinPayment) { p.Recipients[0].Amount = 98_901 })
	refused("dust on top of the highest rate", "FeeRate", func(p *BitcoinPayment) {
		p.Inputs[0].Transaction, _ = funding(t, "bitcoin", bitcoin.TypeP2WPKH, 1, true, 200_000)
		p.FeeRate, p.Recipients[0].Amount = 1000, 70_000
	})
	refused("too large a PSBT", "Inputs", func(p *BitcoinPayment) {
		many := slices.Repeat([]uint64{1000}, 200)
		for i := range byte(7) {
			text, _ := funding(t, "bitcoin", bitcoin.TypeP2WPKH, 100+i, true, many...)
			p.Inputs = append(p.Inputs, BitcoinInput{text, 0})
		}
	})
	return list
}

func TestRatesAreNumbers(t *testing.T) {
	p, _ := payment(t)
	for _, rate := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1} {
		p.FeeRate = rate
		_, err := p.Build()
		refusedOnly(t, err)
	}
}

// FuzzBitcoin: what is built, the decoder says back, fee and change included.
func FuzzBitcoin(f *testing.F) {
	f.Add(uint8(0), uint64(100_000), uint64(0), uint64(30_000), uint64(0), 10.0, true)
	f.Add(uint8(7), uint64(546), uint64(1_000_000), uint64(98_297), uint64(500), 0.1, false)
	f.Add(uint8(13), uint64(1<<40), uint64(1<<62), uint64(1), uint64(1<<63), 1000.0, false)
	kinds := []string{bitcoin.TypeP2WPKH, bitcoin.TypeP2TR, bitcoin.TypeP2PKH, bitcoin.TypeP2SHP2WPKH}
	others := []string{p2wpkhOther, p2trOther, p2wshOther, p2pkhOther, p2shOther}
	f.Fuzz(func(t *testing.T, shape uint8, first, second, amount, other uint64, rate float64, replaceable bool) {
		kind, next := kinds[shape%4], kinds[shape/4%4]
		one, _ := funding(t, "bitcoin", kind, 1, false, first)
		two, _ := funding(t, "bitcoin", next, 2, true, second)
		p := BitcoinPayment{Network: "bitcoin", PublicKey: secpKey(), Inputs: []BitcoinInput{{one, 0}, {two, 0}}, ChangeAddress: own(t, "bitcoin", next), FeeRate: rate, Replaceable: replaceable,
			Recipients: []BitcoinRecipient{{others[shape%5], amount}, {others[shape/5%5], other}}}
		built, err := p.Build()
		if err != nil {
			refusedOnly(t, err)
			return
		}
		e, err := prepared(t, "bitcoin", built.Transaction)
		if err != nil {
			t.Fatalf("the TEE refuses %s: %v", built.Transaction, err)
		}
		want := []chain.Action{pays(p.Recipients[0].Address, decimal(amount)), pays(p.Recipients[1].Address, decimal(other))}
		if built.Change > 0 {
			want = append(want, returns(p.ChangeAddress, decimal(built.Change)))
		}
		got := e.Intent.Effects
		for _, a := range want {
			at := slices.Index(got.Actions, a)
			if at < 0 {
				t.Fatalf("%+v lacks %+v", got.Actions, a)
			}
			got.Actions = slices.Delete(got.Actions, at, at+1)
		}
		if len(got.Actions) > 0 || got.FeeMax != decimal(built.Fee) || first+second != amount+other+built.Change+built.Fee || float64(built.Fee)+1 < rate*float64(built.VSize)-0.001*float64(built.VSize) {
			t.Fatalf("%+v: fee %d, change %d, and besides %+v", p, built.Fee, built.Change, got)
		}
	})
}
