package unsigned

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/networks"
)

// one is a transaction that is built, and what the decoder must say of it, or
// the argument that it is refused for.
type one struct {
	name    string
	build   any // of a type with a method Build
	nonce   string
	fee     string
	format  string
	flags   []string
	actions []chain.Action
	refused string
}

// text builds, whatever the type returns.
func text(build any) (string, error) {
	switch b := build.(type) {
	case interface{ Build() (string, error) }:
		return b.Build()
	case BitcoinPayment:
		built, err := b.Build()
		if err != nil {
			return "", err
		}
		return built.Transaction, nil
	default:
		return "", fmt.Errorf("%T builds nothing", b)
	}
}

func slugOf(build any) string { return reflect.ValueOf(build).FieldByName("Network").String() }

// secpKey is the public key of the private key 1, edKey the base point.
func secpKey() string { return "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798" }
func edKey() string   { return "58" + strings.Repeat("66", 31) }

// prepared is what the TEE would make of the transaction.
func prepared(t testing.TB, slug, text string) (*chain.Prepared, error) {
	t.Helper()
	r, err := networks.New()
	if err != nil {
		t.Fatal(err)
	}
	n, ok := r.Lookup(slug)
	if !ok {
		t.Fatalf("no network %q", slug)
	}
	public := secpKey()
	if n.Curve == keys.Ed25519 {
		public = edKey()
	}
	pub, err := hex.DecodeString(public)
	if err != nil {
		t.Fatal(err)
	}
	return (&chain.Payload{Transaction: &text}).Prepare(n, pub)
}

func cases(t testing.TB) []one {
	t.Helper()
	return slices.Concat(evmCases(t), solanaCases(t), bitcoinCases(t))
}

func TestBuiltIsDecodedAsMeant(t *testing.T) {
	for _, c := range cases(t) {
		t.Run(c.name, func(t *testing.T) {
			built, err := text(c.build)
			if c.refused != "" {
				var e *ArgumentError
				if !errors.As(err, &e) || e.Field != c.refused || e.Detail == "" {
					t.Fatalf("built %q, refused by %v, want a refusal of %s", built, err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := prepared(t, slugOf(c.build), built)
			if err != nil {
				t.Fatalf("the TEE refuses %s: %v", built, err)
			}
			e := p.Intent.Effects
			if p.Intent.Format != c.format || e.Nonce != c.nonce || e.FeeMax != c.fee || e.FeePayer != "" || !slices.Equal(e.Flags, c.flags) {
				t.Errorf("format %s, nonce %s, fee %s, flags %q", p.Intent.Format, e.Nonce, e.FeeMax, e.Flags)
			}
			if !reflect.DeepEqual(e.Actions, c.actions) {
				t.Errorf("actions\n%+v, want\n%+v", e.Actions, c.actions)
			}
		})
	}
}

// vector is a case as the TypeScript SDK's tests read it.
type vector struct {
	Name        string         `json:"name"`
	Kind        string         `json:"kind"` // EVMTransfer, …
	Arguments   map[string]any `json:"arguments"`
	Transaction string         `json:"transaction,omitempty"`
	Refused     string         `json:"refused,omitempty"` // the argument
	// Of Bitcoin alone.
	Fee    string `json:"fee,omitempty"`
	Change string `json:"change,omitempty"`
	VSize  string `json:"vsize,omitempty"`
}

var update = flag.Bool("update", false, "write testdata/transactions.json again")

// TestVectors: both SDKs build the same bytes, and refuse for the same
// argument; the file is what they agree on.
func TestVectors(t *testing.T) {
	var list []vector
	for _, c := range cases(t) {
		built, err := text(c.build)
		v := vector{Name: c.name, Kind: reflect.TypeOf(c.build).Name(), Arguments: map[string]any{}, Transaction: built}
		if members(reflect.ValueOf(c.build), v.Arguments); err != nil {
			v.Refused = memberName(c.refused)
		} else if p, ok := c.build.(BitcoinPayment); ok {
			built, err := p.Build()
			if err != nil {
				t.Fatal(err)
			}
			v.Fee, v.Change, v.VSize = decimal(built.Fee), decimal(built.Change), decimal(built.VSize)
		}
		list = append(list, v)
	}
	got, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const file = "testdata/transactions.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v: other bytes are built than %s has; `go test ./unsigned -update` writes it, and a difference is one to users", err, file)
	}
}

// memberName is a field's name in TypeScript.
func memberName(field string) string {
	for _, word := range []string{"ID"} {
		field = strings.ReplaceAll(field, word, word[:1]+strings.ToLower(word[1:]))
	}
	return strings.ToLower(field[:1]) + field[1:]
}

// members writes a struct's fields, those of embedded structs among them.
// Integers are text, as numbers of JavaScript end at 2^53.
func members(v reflect.Value, out map[string]any) {
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		if f.Anonymous {
			members(value, out)
		} else if m := member(value); m != nil {
			out[memberName(f.Name)] = m
		}
	}
}

func member(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case *big.Int:
		if x == nil {
			return nil
		}
		return x.String()
	case uint64, uint32, uint8:
		return fmt.Sprint(x)
	case string:
		if x == "" {
			return nil
		}
		return x
	case bool:
		if !x {
			return nil
		}
		return x
	case float64:
		return x
	}
	if v.Kind() != reflect.Slice {
		panic("no member is of the type " + v.Type().String())
	}
	if v.Len() == 0 {
		return nil
	}
	list := make([]any, v.Len())
	for i := range list {
		m := map[string]any{}
		members(v.Index(i), m)
		list[i] = m
	}
	return list
}

func TestMemberNames(t *testing.T) {
	for field, want := range map[string]string{"To": "to", "TokenID": "tokenId", "MaxFeePerGas": "maxFeePerGas", "Inputs": "inputs"} {
		if got := memberName(field); got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
}

func integer(t testing.TB, decimal string) *big.Int {
	t.Helper()
	v, ok := new(big.Int).SetString(decimal, 0)
	if !ok {
		t.Fatalf("%q is no integer", decimal)
	}
	return v
}

// refusedOnly fails for an error that names no argument.
func refusedOnly(t testing.TB, err error) {
	t.Helper()
	var e *ArgumentError
	if !errors.As(err, &e) || e.Field == "" {
		t.Errorf("a refusal that names no argument: %v", err)
	}
}

func decimal(v uint64) string { return strconv.FormatUint(v, 10) }
