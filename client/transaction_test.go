package client_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/base58"
	"github.com/sigilkeys/sigil/internal/chain/bitcoin"
	"github.com/sigilkeys/sigil/internal/clienttest"
	"github.com/sigilkeys/sigil/receipt"
	teststack "github.com/sigilkeys/sigil/test/stack"
)

// Transactions on Base: a transfer, the same of another amount, and a call
// that nobody understands.
const (
	transfer = "0x02ef82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1000080c0"
	theft    = "0x02ef82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed872386f26fc1ffff80c0"
	opaque   = "0x02ec82210507830f42408405f5e100825208945aaeb6053f3e94c9b9a09f33669435e7ef1beaed808412345678c0"
)

// trader returns a client whose key signs transactions of the stack's wallet.
func (s *stack) trader(t *testing.T) *client.Client {
	t.Helper()
	k := s.newKey(t, client.NewKey{Name: "trader", Wallets: all(), Networks: all(), Methods: []string{"signTransaction"}})
	return s.client(t, k.Reveal())
}

func (s *stack) transaction(text string) client.SignRequest {
	return client.SignRequest{WalletID: s.wallet.ID, Network: "base", Transaction: text}
}

func TestSignTransaction(t *testing.T) {
	s := newStack(t)
	c := s.trader(t)
	res := must(c.SignTransaction(t.Context(), s.transaction(transfer)))(t)
	// Type, chain id, nonce, …, no access list, then the parity of y, r and s.
	r, sig := transfer[len("0x02ef"):], res.Signature[2:]
	parity := map[string]string{"1b": "80", "1c": "01"}[sig[128:]]
	if !strings.HasPrefix(res.SignedTransaction, "0x02f8") || !strings.Contains(res.SignedTransaction, r+parity) || !strings.HasSuffix(res.SignedTransaction, strings.TrimLeft(sig[64:128], "0")) ||
		len(res.TransactionHash) != 66 {
		t.Errorf("%+v", res)
	}
	if l := res.Receipt.Leaf; l.Method != "signTransaction" || l.Kind != receipt.KindSign || l.IntentDigest == [32]byte{} {
		t.Errorf("%+v", l)
	}
	b := must(c.Bundle(t.Context(), res))(t)
	must(b.Verify(s.org.GenesisDigest))(t)
	f := must(c.Forward(t.Context(), "POST", "/v1/s2s/sign", "", fmt.Appendf(nil, `{"wallet_id":%q,"network":"base","transaction":%q}`, s.wallet.ID, transfer), ""))(t)
	if !f.Verified || !strings.Contains(string(f.Data), res.SignedTransaction) {
		t.Errorf("forwarded: %s", f.Data)
	}
}

// What is decoded here is what the receipt says, the same as the service says.
func TestDecode(t *testing.T) {
	s := newStack(t)
	c := s.trader(t)
	d := must(c.Decode(t.Context(), s.transaction(transfer)))(t)
	res := must(c.Sign(t.Context(), s.transaction(transfer)))(t)
	if digest := res.Receipt.Leaf.IntentDigest; d.IntentDigest != hex.EncodeToString(digest[:]) || string(d.Intent) != string(res.Intent) || len(d.Summary) != 2 || len(d.Accept)+len(d.Refused) != 0 {
		t.Errorf("%+v", d)
	}
	if d := must(c.Decode(t.Context(), s.transaction(opaque)))(t); len(d.Accept) != 1 {
		t.Errorf("%+v", d)
	}
	for field, r := range map[string]client.SignRequest{
		"WalletID": {WalletID: "x", Network: "base", Transaction: transfer},
		"payload":  {WalletID: s.wallet.ID, Network: "base", Transaction: transfer + "00"},
		"Network":  {WalletID: s.wallet.ID, Network: "nowhere", Transaction: transfer},
	} {
		var e *client.ArgumentError
		if _, err := c.Decode(t.Context(), r); !errors.As(err, &e) || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Transactions through the SDK, against the whole stack: alone, again, and in a
// batch beside others.
func TestTransactionsOfTheWholeStack(t *testing.T) {
	st := teststack.Start(t, teststack.Options{})
	token := st.NewKey(st.NewOwner(), nil)
	c := must(client.New(client.Config{BaseURL: st.API.URL, SecretKey: token.Reveal()}))(t)
	w := must(c.Wallets().Create(t.Context(), client.NewWallet{}))(t)
	r := client.SignRequest{WalletID: w.ID, Network: "base", Transaction: transfer, IdempotencyKey: "pay-1"}
	first, again := must(c.SignTransaction(t.Context(), r))(t), must(c.SignTransaction(t.Context(), r))(t)
	if first.SignedTransaction == "" || first.SignedTransaction != again.SignedTransaction || first.TransactionHash != again.TransactionHash || first.Receipt.ID != again.Receipt.ID || !again.Verified.Replayed {
		t.Errorf("%+v, again %+v", first, again)
	}
	r.IdempotencyKey = ""
	items := []client.SignRequest{r, r, r, r, r, {WalletID: w.ID, Network: "base", Message: "hi"}}
	items[1].Transaction = opaque
	items[2].Network = "polygon"
	items[3].Network = "solana"
	items[4].Transaction += "00"
	out := must(c.SignBatch(t.Context(), items, ""))(t)
	for i, want := range []struct {
		code   api.Code
		denied bool
	}{{"", false}, {"transaction_opaque", true}, {"transaction_other_network", false}, {"transaction_invalid", false}, {"transaction_invalid", false}, {"", false}} {
		var e *client.APIError
		switch err := out[i].Err; {
		case want.code == "" && (err != nil || (out[i].Result.SignedTransaction != "") != (i == 0)):
			t.Errorf("item %d: %+v, %v", i, out[i].Result, err)
		case want.code != "" && (!errors.As(err, &e) || e.Code != want.code || (e.Receipt != nil) != want.denied):
			t.Errorf("item %d: %v, want %s", i, err, want.code)
		}
	}
	if out[0].Result != nil && out[0].Result.SignedTransaction != first.SignedTransaction {
		t.Errorf("in a batch it is %s", out[0].Result.SignedTransaction)
	}
}

// A Solana transaction that another signs as well and pays for: it comes back
// with both signatures where the other has signed, and without a name where
// not.
func TestSolanaTransactions(t *testing.T) {
	st := teststack.Start(t, teststack.Options{})
	token := st.NewKey(st.NewOwner(), nil)
	c := must(client.New(client.Config{BaseURL: st.API.URL, SecretKey: token.Reveal()}))(t)
	w := must(c.Wallets().Create(t.Context(), client.NewWallet{}))(t)
	own := must(base58.Decode(w.Addresses["solana"], 32))(t)
	message := slices.Concat([]byte{2, 0, 1, 4}, bytes.Repeat([]byte{5}, 32), own, bytes.Repeat([]byte{7}, 32), make([]byte, 32), bytes.Repeat([]byte{9}, 32),
		[]byte{1, 3, 2, 1, 2, 12, 2, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0})
	other := bytes.Repeat([]byte{0xee}, 64)
	r := client.SignRequest{WalletID: w.ID, Network: "solana"}
	for name, want := range map[string]struct {
		transaction, other []byte
		hash               string
	}{
		"message":     {message, make([]byte, 64), ""},
		"others sign": {slices.Concat([]byte{2}, other, make([]byte, 64), message), other, base58.Encode(other)},
	} {
		r.Transaction = base64.StdEncoding.EncodeToString(want.transaction)
		res := must(c.SignTransaction(t.Context(), r))(t)
		signature := must(base58.Decode(res.Signature, 64))(t)
		signed := base64.StdEncoding.EncodeToString(slices.Concat([]byte{2}, want.other, signature, message))
		if res.SignedTransaction != signed || res.TransactionHash != want.hash || !ed25519.Verify(own, message, signature) {
			t.Errorf("%s: %+v", name, res)
		}
	}
	unknown := bytes.Clone(message)
	unknown[4+96] = 1 // the program
	var e *client.APIError
	r.Transaction = base64.StdEncoding.EncodeToString(unknown)
	if _, err := c.SignTransaction(t.Context(), r); !errors.As(err, &e) || e.Code != "transaction_opaque" || e.Receipt == nil {
		t.Errorf("unknown program: %v", err)
	}
}

func TestTransactionRefusals(t *testing.T) {
	s := newStack(t)
	c := s.trader(t)
	var e *client.APIError
	if _, err := c.SignTransaction(t.Context(), s.transaction(opaque)); !errors.As(err, &e) || e.Code != "transaction_opaque" || e.Receipt == nil || e.Receipt.Leaf.IntentDigest == [32]byte{} {
		t.Error(err)
	}
	// The key that may do everything has "*", which is older than transactions.
	if _, err := s.client(t, s.secret).SignTransaction(t.Context(), s.transaction(transfer)); !errors.As(err, &e) || e.Code != "policy_method" || e.Receipt == nil {
		t.Error(err)
	}
	var bad *client.ArgumentError
	for name, edit := range map[string]func(*client.SignRequest){
		"none":        func(r *client.SignRequest) { r.Transaction = "" },
		"and message": func(r *client.SignRequest) { r.Message = "hi" },
		"and bytes":   func(r *client.SignRequest) { r.MessageBytes = []byte{} },
		"and format":  func(r *client.SignRequest) { r.Format = "x" },
		"and domain":  func(r *client.SignRequest) { r.ApplicationDomain = "x" },
		"and signers": func(r *client.SignRequest) { r.RequiredSignatories = []string{} },
		"and content": func(r *client.SignRequest) { r.ContentFormat = "ascii" },
	} {
		r := s.transaction(transfer)
		edit(&r)
		if _, err := c.SignTransaction(t.Context(), r); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAlteredTransaction is a service that signs another transaction than was
// asked for, or says something else of it than it signed.
func TestAlteredTransaction(t *testing.T) {
	s := newStack(t)
	c := s.trader(t)
	stolen := must(c.SignTransaction(t.Context(), s.transaction(theft)))(t)
	honest := must(c.SignTransaction(t.Context(), s.transaction(transfer)))(t)
	expect := func(name string, code client.Code, field string) {
		t.Helper()
		_, err := c.SignTransaction(t.Context(), s.transaction(transfer))
		var v *client.VerificationError
		if !errors.As(err, &v) || v.Code != code || v.Field != field {
			t.Errorf("%s: %v, want %s (%s)", name, err, code, field)
		}
	}
	s.Attack = clienttest.Attack{Body: func(b *clienttest.SignBody) { *b.Transaction = theft }}
	expect("another transaction", client.CodeSignature, "")
	s.Attack = clienttest.Attack{Leaf: func(l *receipt.Leaf) { l.Method = "signMessage" }}
	expect("another method", client.CodeReceiptMismatch, "method")
	s.Attack = clienttest.Attack{Leaf: func(l *receipt.Leaf) { l.IntentDigest[0] ^= 1 }}
	expect("another intent", client.CodeReceiptMismatch, "intent_digest")
	s.Attack = clienttest.Attack{}
	for name, a := range map[string]struct {
		edit  func(d map[string]any)
		code  client.Code
		field string
	}{
		"signature":        {func(d map[string]any) { d["signature"] = stolen.Signature }, client.CodeSignature, ""},
		"signed":           {func(d map[string]any) { d["signed_transaction"] = stolen.SignedTransaction }, client.CodeResponseMismatch, "signed_transaction"},
		"not signed":       {func(d map[string]any) { delete(d, "signed_transaction") }, client.CodeResponseMismatch, "signed_transaction"},
		"hash":             {func(d map[string]any) { d["transaction_hash"] = stolen.TransactionHash }, client.CodeResponseMismatch, "transaction_hash"},
		"another's proof":  {func(d map[string]any) { d["receipt"] = ref(stolen) }, client.CodeReceiptMismatch, "payload_digest"},
		"an earlier proof": {func(d map[string]any) { d["receipt"] = ref(honest) }, client.CodeReceiptMismatch, "request_id"},
	} {
		s.rewrite("/v1/s2s/sign", a.edit)
		expect(name, a.code, a.field)
	}
	// A message has no transaction.
	s.rewrite("/v1/s2s/sign", func(d map[string]any) { d["signed_transaction"] = stolen.SignedTransaction })
	s.expect(t, "message with a transaction", client.CodeResponseMismatch, "signed_transaction")
	s.intercept(func(next http.Handler) http.Handler { return next })
	if res := must(c.SignTransaction(t.Context(), s.transaction(transfer)))(t); res.Signature != honest.Signature {
		t.Error("canary: the honest service signs otherwise")
	}
}

// A Bitcoin payment out of a Taproot and a P2WPKH output: two signatures, by
// two schemes, in one reply that is verified as a whole.
func TestBitcoinTransaction(t *testing.T) {
	st := teststack.Start(t, teststack.Options{})
	token := st.NewKey(st.NewOwner(), nil)
	c := must(client.New(client.Config{BaseURL: st.API.URL, SecretKey: token.Reveal()}))(t)
	w := must(c.Wallets().Create(t.Context(), client.NewWallet{}))(t)
	network, _ := st.Networks.Lookup("bitcoin")
	codec := network.Codec.(bitcoin.Codec)
	types := must(codec.AddressTypes(must(hex.DecodeString(w.PublicKeys["secp256k1"]))(t)))(t)
	output := func(value uint64, kind string) []byte {
		script := must(codec.ParseAddress(types[kind]))(t)
		return append(append(binary.LittleEndian.AppendUint64(nil, value), byte(len(script))), script...)
	}
	// The previous transaction: both outputs, one input.
	previous := slices.Concat([]byte{2, 0, 0, 0, 1}, make([]byte, 36), []byte{0, 0xff, 0xff, 0xff, 0xff, 2}, output(60_000, bitcoin.TypeP2TR), output(50_000, bitcoin.TypeP2WPKH), make([]byte, 4))
	once := sha256.Sum256(previous)
	id := sha256.Sum256(once[:])
	spend := func(vout byte) []byte {
		return slices.Concat(id[:], []byte{vout, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	}
	pay := append(binary.LittleEndian.AppendUint64(nil, 109_000), slices.Concat([]byte{22, 0, 20}, bytes.Repeat([]byte{7}, 20))...)
	unsigned := slices.Concat([]byte{2, 0, 0, 0, 2}, spend(0), spend(1), []byte{1}, pay, make([]byte, 4))
	utxo := slices.Concat([]byte{1, 0, byte(len(previous))}, previous, []byte{0})
	psbt := slices.Concat([]byte("psbt\xff\x01\x00"), []byte{byte(len(unsigned))}, unsigned, []byte{0}, utxo, utxo, []byte{0})

	r := client.SignRequest{WalletID: w.ID, Network: "bitcoin", Transaction: base64.StdEncoding.EncodeToString(psbt)}
	res := must(c.SignTransaction(t.Context(), r))(t)
	if raw := must(base64.StdEncoding.DecodeString(res.Signature))(t); len(raw) != 64+65 {
		t.Errorf("signatures of %d bytes", len(raw))
	}
	if len(res.TransactionHash) != 64 || !strings.HasPrefix(res.SignedTransaction, "02000000000102") || !strings.HasPrefix(res.SignedPSBT, "cHNidP8B") {
		t.Errorf("%+v", res)
	}
	psbt[len(psbt)-len(utxo)-4] ^= 1 // the previous transaction's lock time: its hash is another
	var e *client.APIError
	r.Transaction = base64.StdEncoding.EncodeToString(psbt)
	if _, err := c.SignTransaction(t.Context(), r); !errors.As(err, &e) || e.Code != "transaction_invalid" {
		t.Errorf("another previous transaction: %v", err)
	}
	for _, format := range []string{"", "bip322-p2tr", "bip137-p2pkh"} {
		m := must(c.Sign(t.Context(), client.SignRequest{WalletID: w.ID, Network: "bitcoin-signet", Message: "hello", Format: format}))(t)
		if m.Signature == "" {
			t.Errorf("%q: %+v", format, m)
		}
	}
}
