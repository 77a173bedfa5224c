package vectors

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/networks"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/tee"
)

// entry is the union of the published shapes; what isn't needed is ignored.
type entry struct {
	ID         string   `json:"id"`
	Family     string   `json:"family"`
	Network    string   `json:"network"`
	Kind       string   `json:"kind"`
	Curve      string   `json:"curve"`
	Private    string   `json:"private_key_hex"`
	Address    string   `json:"address"`
	Expect     string   `json:"expect"`
	SignHash   string   `json:"sign_hash"`
	SignBytes  string   `json:"sign_bytes_hex"`
	MessageHex string   `json:"message_hex"`
	Base58     string   `json:"signature_base58"`
	Envelope   string   `json:"envelope_hex"`
	UnsignedTx flexible `json:"unsigned_tx"`

	UnsignedBase64 flexible `json:"unsigned_tx_base64"`
	Signatures     flexible `json:"signatures"`

	SignedTx flexible `json:"signed_tx"`
	TxHash   flexible `json:"tx_hash"`

	TypedData     flexible `json:"typed_data"`
	Authorization flexible `json:"authorization"`
	Message       flexible `json:"message"`
	Input         flexible `json:"input"`
	Signature     flexible `json:"signature"`

	UserOperation     flexible `json:"user_operation"`
	EntryPoint        string   `json:"entry_point"`
	EntryPointVersion string   `json:"entry_point_version"`
	ChainID           flexible `json:"chain_id"`
	UserOpHash        string   `json:"user_op_hash"`
	OwnerEIP191       string   `json:"owner_signature_eip191"`
	OwnerDigest       string   `json:"owner_signature_digest"`

	raw []byte // the whole entry
}

// UnmarshalJSON keeps what families have besides.
func (e *entry) UnmarshalJSON(b []byte) error {
	type plain entry
	e.raw = bytes.Clone(b)
	return json.Unmarshal(b, (*plain)(e))
}

// tally counts by network and kind.
type tally struct {
	ran     map[string]int
	left    map[string]int // with the reason
	refused map[string]int // as the entry, or the rule against blind signing, demands
	failed  int
}

func (y *tally) print(t *testing.T) {
	for title, m := range map[string]map[string]int{"ran": y.ran, "left out": y.left, "refused": y.refused} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			t.Logf("%-8s %4d  %s", title, m[k], k)
		}
	}
	t.Logf("ran %d vectors, refused %d, left out %d, failed %d", sum(y.ran), sum(y.refused), sum(y.left), y.failed)
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func files(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"../../../shared/vectors/txs.json", "../../../shared/vectors/addresses.json", "testdata/*.json", "../../internal/chain/*/testdata/transactions.json", "../../internal/chain/evm/testdata/userops.json"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, names...)
	}
	for _, name := range strings.Split(os.Getenv("SIGIL_EXTRA_VECTORS"), ":") {
		if name != "" {
			if !filepath.IsAbs(name) {
				name = filepath.Join("..", "..", name)
			}
			out = append(out, name)
		}
	}
	return out
}

func TestPublishedVectors(t *testing.T) {
	f := &fixture{tee.New(t, configured(t)...)}
	y := &tally{ran: map[string]int{}, left: map[string]int{}, refused: map[string]int{}}
	for _, name := range files(t) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := entriesOf(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("%s: %d entries", filepath.Base(name), len(list))
		for i := range list {
			f.run(t, y, &list[i])
		}
	}
	y.print(t)
	if sum(y.ran) == 0 {
		t.Fatal("nothing ran")
	}
}

// entriesOf takes a list, or an object that holds one.
func entriesOf(data []byte) ([]entry, error) {
	var list []entry
	if err := json.Unmarshal(data, &list); err == nil {
		return list, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, err
	}
	for _, raw := range object {
		var more []entry
		if json.Unmarshal(raw, &more) == nil {
			list = append(list, more...)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no list of entries")
	}
	return list, nil
}

// configured are the chain ids in the data that no preset has, as an
// installation adds them to its configuration.
func configured(t *testing.T) (out []evm.Configured) {
	t.Helper()
	presets, err := networks.New()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]bool{}
	for _, n := range presets.List() {
		seen[n.ChainID] = true
	}
	for _, name := range files(t) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := entriesOf(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range list {
			id, ok := strings.CutPrefix(list[i].Network, "evm:")
			if v, err := strconv.ParseUint(id, 10, 64); ok && err == nil && !seen[v] {
				seen[v] = true
				out = append(out, evm.Configured{Slug: "evm-" + id, Name: "Chain " + id, ChainID: v, Testnet: true})
			}
		}
	}
	return out
}

// slugs are names that the data has for networks besides ours.
func slugOf(f *fixture, e *entry) (string, bool) {
	name := map[string]string{"avalanchec": "avalanche", "smartchain": "bsc", "evm": "ethereum", "bitcoin-testnet": "bitcoin-testnet4"}[e.Network]
	if name == "" {
		name = e.Network
	}
	if id, ok := strings.CutPrefix(name, "evm:"); ok {
		n, err := strconv.ParseUint(id, 10, 64)
		for _, network := range f.Networks.List() {
			if err == nil && network.ChainID == n {
				return network.Slug, true
			}
		}
		return "", false
	}
	_, ok := f.Networks.Lookup(name)
	return name, ok
}

func (f *fixture) run(t *testing.T, y *tally, e *entry) {
	name := e.Network + " " + e.Kind
	slug, registered := slugOf(f, e)
	switch {
	case e.Kind == "" && e.Address != "":
		name = e.Network + " address"
		if other := map[string]string{"sei": "sei1", "zetachain": "zeta1"}[e.Network]; !registered || other != "" && strings.HasPrefix(e.Address, other) {
			y.left["address: network isn't registered"]++ // those two have addresses of Cosmos as well
			return
		}
		f.report(t, y, e, name, f.address(slug, e))
	case e.Family == "evm" && e.Kind == "transaction":
		f.transaction(t, y, e, name, slug, registered)
	case e.Family == "evm" && e.Kind == "eip712":
		f.typedData(t, y, e, name, slug)
	case e.Family == "bitcoin" && registered:
		f.bitcoin(t, y, e, name, slug)
	case e.Family == "evm" && e.Kind == "erc4337-userop":
		f.userOperation(t, y, e, name, slug)
	case e.Family == "evm" && e.Kind == "eip7702-authorization":
		f.authorization(t, y, e, name, slug)
	case e.Family == "solana" && e.Kind == "transaction":
		f.solanaTransaction(t, y, e, name)
	case !slices.Contains([]string{"eip191-personal_sign", "message-raw", "offchain-message", "offchain-message-v0-legacy-header"}, e.Kind):
		y.left[e.Family+" "+e.Kind+": kind isn't registered"]++
	case !registered:
		y.left[name+": network isn't registered"]++
	default:
		m, err := message(e)
		if err != nil {
			f.report(t, y, e, name, err)
			return
		}
		f.message(t, y, e, name, slug, m)
	}
}

func (f *fixture) report(t *testing.T, y *tally, e *entry, name string, err error) {
	if err != nil {
		y.failed++
		t.Errorf("%s %s: %v", name, e.ID, err)
		return
	}
	y.ran[name]++
}

func unhex(s string) ([]byte, error) { return hex.DecodeString(strings.TrimPrefix(s, "0x")) }

func (f *fixture) address(slug string, e *entry) error {
	n, _ := f.Networks.Lookup(slug)
	private, err := unhex(e.Private)
	if err != nil || len(private) != 32 {
		return fmt.Errorf("private key: %v", err)
	}
	priv, pub := [32]byte(private), make([]byte, n.Curve.PublicKeySize())
	if err := keys.Public(n.Curve, &priv, pub); err != nil {
		return err
	}
	got, err := n.Codec.Address(pub)
	if err != nil {
		return err
	}
	if got != e.Address && strings.Replace(e.Address, "ronin:", "0x", 1) != got { // Ronin's own way of writing 0x
		return fmt.Errorf("address %s, want %s", got, e.Address)
	}
	return nil
}

// message makes the request of an entry.
func message(e *entry) (chain.Message, error) {
	raw := e.Message
	if len(raw) == 0 || string(raw) == "null" {
		raw = e.Input
	}
	m := chain.Message{Format: map[string]string{"offchain-message": chain.FormatOffchainV0, "offchain-message-v0-legacy-header": chain.FormatOffchainV0Legacy}[e.Kind]}
	var text string
	if e.MessageHex != "" {
		m.Message, m.Encoding = strings.TrimPrefix(e.MessageHex, "0x"), "hex"
		return m, nil
	}
	if json.Unmarshal(raw, &text) == nil {
		m.Message = text
		return m, nil
	}
	return structured(m, raw)
}

// structured reads {version, applicationDomain, content, requiredSignatories},
// or {message_hex} and the like.
func structured(m chain.Message, raw []byte) (chain.Message, error) {
	var v struct {
		Version           int        `json:"version"`
		ApplicationDomain string     `json:"applicationDomain"`
		Content           flexible   `json:"content"`
		Required          []flexible `json:"requiredSignatories"`
		Message           string     `json:"message"`
		MessageHex        string     `json:"message_hex"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return m, fmt.Errorf("message: %w", err)
	}
	if v.MessageHex != "" {
		m.Message, m.Encoding = strings.TrimPrefix(v.MessageHex, "0x"), "hex"
		return m, nil
	}
	if m.Message = v.Message; len(v.Content) > 0 {
		if err := content(&m, v.Content); err != nil {
			return m, err
		}
	}
	if m.Format != "" && v.Version == 1 {
		m.Format, m.ContentFormat = chain.FormatOffchainV1, ""
	}
	m.ApplicationDomain = v.ApplicationDomain
	for _, s := range v.Required {
		var address string
		var object struct {
			Address string `json:"address"`
		}
		if json.Unmarshal(s, &address) != nil {
			if err := json.Unmarshal(s, &object); err != nil {
				return m, fmt.Errorf("signatory: %w", err)
			}
			address = object.Address
		}
		m.RequiredSignatories = append(m.RequiredSignatories, address)
	}
	return m, nil
}

// content is text, or {format 0 to 2, text}.
func content(m *chain.Message, raw []byte) error {
	if json.Unmarshal(raw, &m.Message) == nil {
		return nil
	}
	var v struct {
		Format int    `json:"format"`
		Text   string `json:"text"`
	}
	if err := json.Unmarshal(raw, &v); err != nil || v.Format < 0 || v.Format > 2 {
		return fmt.Errorf("content: %v", err)
	}
	m.Message, m.ContentFormat = v.Text, []string{"ascii", "utf8", "utf8-long"}[v.Format]
	return nil
}

func (f *fixture) message(t *testing.T, y *tally, e *entry, name, slug string, m chain.Message) {
	n, _ := f.Networks.Lookup(slug)
	private, err := unhex(e.Private)
	if err != nil || len(private) != 32 {
		private = bytes.Repeat([]byte{7}, 32) // entries to refuse may have no key
	}
	w, err := f.Wallet(t.Context(), n.Curve, private)
	if err != nil {
		f.report(t, y, e, name, err)
		return
	}
	item, leaf, err := f.Decide(t.Context(), w, slug, chain.Payload{Message: m, Text: &m.Message})
	code := refusal(leaf, err)
	switch {
	case e.Expect == "reject":
		if code == "" {
			err = errors.New("signed, but must be refused")
		} else {
			err = nil
			y.refused[name+": "+code]++
			return
		}
	case code == chain.CodeDigest || code == chain.CodeTransaction:
		// The house rule is stricter than the data's source.
		y.refused[name+": "+code+" (rule against blind signing)"]++
		return
	case err == nil && code == "":
		err = f.compare(t.Context(), n, w, e, item, leaf)
	case err == nil:
		err = errors.New("refused: " + code)
	}
	f.report(t, y, e, name, err)
}

func refusal(leaf *receipt.Leaf, err error) string {
	var remote *teelink.RemoteError
	switch {
	case errors.As(err, &remote):
		return remote.Code
	case err == nil && leaf.Decision != receipt.Allow:
		return leaf.Reason
	}
	return ""
}

// compare requires the published signature and the published sign bytes.
func (f *fixture) compare(_ context.Context, n *chain.Network, _ tee.Wallet, e *entry, item teelink.Item, leaf *receipt.Leaf) error {
	raw, err := n.Codec.DecodeSignature(string(item.Result))
	if err != nil {
		return err
	}
	published, err := signatureText(e.Signature)
	if err != nil {
		return fmt.Errorf("published signature: %w", err)
	}
	want, err := unhex(published)
	if err != nil {
		if want, err = n.Codec.DecodeSignature(published); err != nil {
			return fmt.Errorf("published signature: %w", err)
		}
	}
	if n.Curve == keys.Secp256k1 && len(want) == 65 && want[64] >= 27 {
		want[64] -= 27
	}
	if !bytes.Equal(raw, want) {
		return fmt.Errorf("signature %x, want %x", raw, want)
	}
	if e.Base58 != "" && e.Base58 != string(item.Result) {
		return fmt.Errorf("signature %s, want %s", item.Result, e.Base58)
	}
	signBytes := e.SignHash + e.SignBytes
	if signBytes == "" {
		return nil
	}
	b, err := unhex(signBytes)
	if err != nil {
		return err
	}
	if leaf.PayloadDigest != sha256.Sum256(b) {
		return errors.New("signed other bytes than published")
	}
	return f.envelope(e, b, raw)
}

// signatureText takes text, or {r, s, yParity or v} of EVM.
func signatureText(raw flexible) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var v struct {
		R       string `json:"r"`
		S       string `json:"s"`
		YParity *int   `json:"yParity"`
		V       int    `json:"v"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", err
	}
	if v.YParity != nil {
		v.V = 27 + *v.YParity
	}
	pad := func(s string) string {
		s = strings.TrimPrefix(s, "0x")
		return strings.Repeat("0", max(0, 64-len(s))) + s
	}
	return fmt.Sprintf("0x%s%s%02x", pad(v.R), pad(v.S), v.V), nil
}

// envelope checks count ‖ signature ‖ message, where the wallet is the only
// signer.
func (f *fixture) envelope(e *entry, message, signature []byte) error {
	if e.Envelope == "" {
		return nil
	}
	want, err := unhex(e.Envelope)
	if err != nil {
		return err
	}
	if want[0] != 1 {
		return nil // others sign as well
	}
	if got := append(append([]byte{1}, signature...), message...); !bytes.Equal(got, want) {
		return errors.New("envelope differs")
	}
	return nil
}
