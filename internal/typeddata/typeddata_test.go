package typeddata_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/sha3"

	"github.com/sigilkeys/sigil/internal/typeddata"
	"github.com/sigilkeys/sigil/test/memory"
)

type recorded struct {
	Name     string          `json:"name"`
	Document json.RawMessage `json:"document"`
	Digest   string          `json:"digest"`
}

func documents(t testing.TB) (list []recorded) {
	t.Helper()
	data, err := os.ReadFile("testdata/documents.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func digest(d *typeddata.Document) string {
	h := sha3.NewLegacyKeccak256()
	h.Write(d.Preimage[:])
	return "0x" + hex.EncodeToString(h.Sum(nil))
}

// TestDocuments: the digest that three libraries agree on, and none where
// they disagree.
func TestDocuments(t *testing.T) {
	signed, refused := 0, 0
	for _, r := range documents(t) {
		d, err := typeddata.Parse(r.Document)
		switch {
		case r.Digest == "" && err == nil:
			t.Errorf("%s: taken, and libraries disagree on it", r.Name)
		case r.Digest == "":
			refused++
		case err != nil:
			t.Errorf("%s: %v", r.Name, err)
		case digest(d) != r.Digest:
			t.Errorf("%s: %s, want %s", r.Name, digest(d), r.Digest)
		default:
			signed++
		}
	}
	if t.Logf("%d alike, %d refused", signed, refused); signed < 40 || refused < 100 {
		t.Error("too few documents")
	}
}

const mail = `{"types":{"EIP712Domain":[{"name":"name","type":"string"},{"name":"chainId","type":"uint256"},{"name":"verifyingContract","type":"address"}],` +
	`"Mail":[{"name":"to","type":"address"},{"name":"amount","type":"uint8"},{"name":"tags","type":"bytes4[2]"},{"name":"part","type":"Part[]"}],"Part":[{"name":"x","type":"int8"}]},` +
	`"primaryType":"Mail","domain":{"name":"a","chainId":1,"verifyingContract":"0x00000000000000000000000000000000000000aa"},` +
	`"message":{"to":"0x00000000000000000000000000000000000000bb","amount":"255","tags":["0x01020304","0x05060708"],"part":[{"x":-128},{"x":"127"}]}}`

func TestMembers(t *testing.T) {
	d, err := typeddata.Parse([]byte(mail))
	if err != nil {
		t.Fatal(err)
	}
	if d.EncodedType != "Mail(address to,uint8 amount,bytes4[2] tags,Part[] part)Part(int8 x)" || d.Domain != (typeddata.Domain{Name: "a", ChainID: "1", VerifyingContract: "0x00000000000000000000000000000000000000aa"}) {
		t.Errorf("%q, %+v", d.EncodedType, d.Domain)
	}
}

// TestStrict changes one thing of a good document: it is refused, and the
// error says where; or it means the same.
func TestStrict(t *testing.T) {
	good, err := typeddata.Parse([]byte(mail))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"255"`, `256`, "message.amount: "}, {`"255"`, `"0100"`, "message.amount: "}, {`"255"`, `255.0`, "message.amount: "}, {`"255"`, `2e1`, "message.amount: "},
		{`"255"`, `"-1"`, "message.amount: "}, {`"255"`, `""`, "message.amount: "}, {`"255"`, `" 1"`, "message.amount: "}, {`"255"`, `"0X1"`, "message.amount: "},
		{`"255"`, `true`, "message.amount: "}, {`"255"`, `null`, "message.amount: "}, {`"255"`, `["1"]`, "message.amount: "}, {`"255"`, `"0x-1"`, "message.amount: "}, {`"255"`, `-0`, "message.amount: "},
		{`"255"`, `"0x1_0"`, "message.amount: "}, {`"255"`, `"1_0"`, "message.amount: "}, {`"255"`, `255`, ""}, {`"255"`, `"0xff"`, ""}, {`"255"`, `"0x\u0066f"`, ""}, {`"255"`, `"0x00FF"`, ""},
		{`{"x":-128}`, `{"x":-129}`, "message.part[0]"}, {`{"x":-128}`, `{"x":"128"}`, "message.part[0]"}, {`{"x":-128}`, `{"x":"-128"}`, ""}, {`{"x":-128}`, `{"x":-128,"y":1}`, "message.part[0]"},
		{`{"x":-128}`, `{}`, "message.part[0]"}, {`{"x":-128}`, `{"x":-128,"x":-128}`, "duplicate"}, {`{"x":-128}`, `null`, "message.part[0]"},
		{`"0x05060708"`, `"0x050607"`, "message.tags[1]"}, {`"0x05060708"`, `"05060708"`, "message.tags[1]"}, {`"0x05060708"`, `"0x0506070"`, "message.tags[1]"}, {`,"0x05060708"`, ``, "message.tags: "},
		{`"0x05060708"`, `"0x05060708","0x05060708"`, "message.tags: "},
		{`bb"`, `bB"`, "message.to: "}, {`bb"`, `b"`, "message.to: "}, {`"0x00000000000000000000000000000000000000bb"`, `"00000000000000000000000000000000000000bb"`, "message.to: "},
		{`"0x00000000000000000000000000000000000000bb"`, `"0x000000000000000000000000000000000000000000bb"`, "message.to: "},
		{`"name":"a",`, ``, "domain: "}, {`"name":"a",`, `"name":"",`, "domain: "}, {`"name":"a",`, `"name":"a","version":"1",`, "domain: "}, {`"domain":{"name":"a"`, `"domain":{"x":1,"name":"a"`, "domain: "},
		{`{"name":"name","type":"string"},{"name":"chainId","type":"uint256"}`, `{"name":"chainId","type":"uint256"},{"name":"name","type":"string"}`, "types.EIP712Domain"},
		{`"chainId":1,`, `"chainId":"0x1",`, ""}, {`"chainId":1,`, `"chainId":"\u0031",`, "domain.chainId: "}, {`"name":"a"`, `"name":"\u0061"`, ""}, {`"part":`, `"p\u0061rt":`, ""},
		{`"chainId","type":"uint256"`, `"chainId","type":"uint64"`, "types.EIP712Domain"},
		{`"uint8"`, `"uint"`, "types.Mail.amount"}, {`"uint8"`, `"uint08"`, "types.Mail.amount"}, {`"uint8"`, `"uint264"`, "types.Mail.amount"}, {`"uint8"`, `"Nothing"`, "types.Mail.amount"},
		{`"uint8"`, `"EIP712Domain"`, "types.Mail.amount"}, {`"uint8"`, `"Mail"`, "types.Mail.amount"}, {`"bytes4[2]"`, `"bytes4[02]"`, "types.Mail.tags"}, {`"bytes4[2]"`, `"bytes4[2"`, "types.Mail.tags"}, {`"bytes4[2]"`, `"bytes4[2]]"`, "types.Mail.tags"},
		{`"Part":[{`, `"Unused":[{"name":"x","type":"bool"}],"Part":[{`, "types.Unused"}, {`"Part":[{"name":"x","type":"int8"}]`, `"Part":[]`, "types.Part"}, {`"name":"x"`, `"name":"x y"`, "types.Part"},
		{`"primaryType":"Mail"`, `"primaryType":"Part"`, "types.Mail"}, {`"primaryType":"Mail"`, `"primaryType":"EIP712Domain"`, "primaryType"}, {`"primaryType":"Mail"`, `"primaryType":"x"`, "primaryType"},
		{`{"x":"127"}]}}`, `{"x":"127"}]}}x`, "something follows"}, {`{"x":"127"}]}}`, `{"x":"127"}]}}{}`, "something follows"}, {`{"x":"127"}]}}`, `{"x":"127"}]}}}`, "something follows"}, {`{"x":"127"}]}}`, `{"x":"127"}]}`, "it isn't an object"}, {`{"x":"127"}]}}`, `{"x":"127"}]}} `, ""},
		{`{"types"`, `[{"types"`, "it isn't an object"}, {`"primaryType":"Mail"`, `"primaryType":["Mail"]`, "primaryType"}, {`"primaryType":"Mail"`, `"primaryType":"M\u0061il"`, ""}, {`"primaryType":"Mail"`, `"primaryType":"\ud800"`, "it isn't an object"},
		{`"primaryType":"Mail"`, `"primaryType":"Mail","more":1`, "more"}, {`"primaryType":"Mail",`, ``, "primaryType"},
		{`"name":"to","type":"address"`, `"name":"to","type":"address","more":""`, "types.Mail"}, {`"name":"to","type":"address"`, `"name":"to"`, "types.Mail"}, {`"name":"to","type":"address"`, `"name":"to","name":"type"`, "duplicate"},
		{`"name":"to","type":"address"`, `"name":"to","type":1`, "types.Mail"}, {`{"name":"x","type":"int8"}`, `["x","int8"]`, "types.Part"}, {`"Part":[{"name":"x","type":"int8"}]`, `"Part":{"name":"x","type":"int8"}`, "types.Part"},
	} {
		text := strings.Replace(mail, c.old, c.new, 1)
		if text == mail {
			t.Fatalf("%s isn't in the document", c.old)
		}
		d, err := typeddata.Parse([]byte(text))
		switch {
		case c.want == "" && (err != nil || d.Preimage != good.Preimage):
			t.Errorf("%s: another meaning, or %v", c.new, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s for %s: %v, want %q", c.new, c.old, err, c.want)
		}
	}
}

// TestEachByteCounts: a document with one byte less isn't one, or says
// something else.
func TestEachByteCounts(t *testing.T) {
	good, err := typeddata.Parse([]byte(mail))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(mail) {
		if d, err := typeddata.Parse([]byte(mail[:i] + mail[i+1:])); err == nil && d.Preimage == good.Preimage && mail[i] != ' ' {
			t.Errorf("without the byte %d (%q) it is the same", i, mail[i])
		}
	}
}

// TestBounds: a document up to each bound is taken, and one beyond isn't.
func TestBounds(t *testing.T) {
	with := func(types, field, value string) string {
		return `{"types":{"EIP712Domain":[{"name":"name","type":"string"}],` + types + `"M":[{"name":"f","type":"` + field + `"}]},"primaryType":"M","domain":{"name":"a"},"message":{"f":` + value + `}}`
	}
	deep := func(n int) string {
		return with("", "uint8"+strings.Repeat("[]", n), strings.Repeat("[", n)+"1"+strings.Repeat("]", n))
	}
	list := func(n int, item func(int) string) string {
		var all []string
		for i := range n {
			all = append(all, item(i))
		}
		return strings.Join(all, ",")
	}
	members := func(n int) string {
		return with(`"P":[`+list(n, func(i int) string { return fmt.Sprintf(`{"name":"a%d","type":"bool"}`, i) })+"],", "P[]", "[]")
	}
	types := func(n int) string {
		return with(`"P":[`+list(n, func(i int) string { return fmt.Sprintf(`{"name":"a%d","type":"P%d"}`, i, i) })+"],"+
			list(n, func(i int) string { return fmt.Sprintf(`"P%d":[{"name":"a","type":"bool"}]`, i) })+",", "P[]", "[]")
	}
	text := func(n int) string { return with("", "string", `"`+strings.Repeat("a", n)+`"`) }
	for name, c := range map[string]struct{ good, bad, want string }{
		"depth":   {deep(14), deep(15), "16 deep"},
		"members": {members(254), members(255), "256 members"},
		"types":   {types(61), types(62), "over 64"},
		"name":    {with("", "bool", "true"), with(`"`+strings.Repeat("a", 129)+`":[{"name":"a","type":"bool"}],`, "bool", "true"), "type's name"},
		"size":    {text(typeddata.MaxSize - len(text(0))), text(typeddata.MaxSize - len(text(0)) + 1), "32768 bytes"},
	} {
		if _, err := typeddata.Parse([]byte(c.good)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := typeddata.Parse([]byte(c.bad)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// numbered repeats a text that has its number in it.
func numbered(n int, format, before, after string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(before)
		if before = ","; strings.Contains(format, "%") {
			fmt.Fprintf(&b, format, i)
		} else {
			b.WriteString(format)
		}
	}
	return b.String() + after
}

// TestAllocations bounds what a document can make the reader allocate.
func TestAllocations(t *testing.T) {
	open := func(n int) string { return strings.Repeat("[", n) }
	shut := func(n int) string { return strings.Repeat("]", n) }
	with := func(field, value string) string {
		return `{"types":{"EIP712Domain":[{"name":"name","type":"string"}],"M":[{"name":"f","type":"` + field + `"}]},"primaryType":"M","domain":{"name":"a"},"message":{"f":` + value + `}}`
	}
	// Each type mentions the next: what they mention together is far more than the document.
	chained := func(types, fields int, name string) string {
		var b strings.Builder
		for i := range types {
			fmt.Fprintf(&b, `"A%d":[`, i)
			for j := range fields {
				fmt.Fprintf(&b, `{"name":"%s%d","type":"bool"},`, name, j)
			}
			next := "bool"
			if i+1 < types {
				next = fmt.Sprintf("A%d[]", i+1)
			}
			fmt.Fprintf(&b, `{"name":"x","type":"%s"}],`, next)
		}
		return `{"types":{` + b.String() + `"EIP712Domain":[{"name":"name","type":"string"}]},"primaryType":"A0","domain":{"name":"a"},"message":{"x":[]}}`
	}
	for name, doc := range map[string]string{
		"chained types": chained(16, 0, "n"), "long chained types": chained(16, 14, strings.Repeat("n", 105)), "too many of them": chained(63, 0, "n"),
		"numbers":            with("uint8[]", "["+strings.Repeat("0,", 15000)+"0]"),
		"two digits":         with("uint8[]", "["+strings.Repeat("77,", 10000)+"0]"),
		"three":              with("uint8[]", "["+strings.Repeat("200,", 7000)+"0]"),
		"minus":              with("int8[]", "["+strings.Repeat("-1,", 10000)+"0]"),
		"quoted":             with("uint8[]", "["+strings.Repeat(`"9",`, 7000)+"0]"),
		"hex":                with("bytes1[]", "["+strings.Repeat(`"0x00",`, 4000)+`"0x00"]`),
		"empty lists":        with("uint8[][]", "["+strings.Repeat("[],", 10000)+"[]]"),
		"empty texts":        with("string[]", "["+strings.Repeat(`"",`, 10000)+`""]`),
		"deep":               with("uint8"+strings.Repeat("[]", 40), open(40)+shut(40)),
		"deep JSON":          with("uint8[]", open(15000)+shut(15000)),
		"many unknown names": with("uint8", numbered(3900, `"%x":0`, "{", "}")), "many objects": with("uint8[]", numbered(10000, `{}`, "[", "]")), "many names twice": with("uint8", numbered(1800, `{"%x":0,"%[1]x":0}`, "[", "]")),
		"many types of names": `{"types":{` + numbered(4000, `"%x":0`, "", "") + `}}`,
		"deep objects":        `{"types":` + strings.Repeat(`{"a":`, 6000), "deep in a list": with("uint8[]", strings.Repeat(`[{"a":`, 5000)), "deep elsewhere": strings.Repeat(`{"a":`, 6000),
		"open":        with("uint8[]", open(30000)),
		"many types":  `{"types":{` + strings.Repeat(`"A":[],`, 4000) + `"B":[]},"primaryType":"A","domain":{},"message":{}}`,
		"many names":  `{"types":{"A":[` + strings.Repeat(`{"name":"a","type":"A"},`, 1300) + `{}]},"primaryType":"A","domain":{},"message":{}}`,
		"a long text": with("string", `"`+strings.Repeat("a", 32000)+`"`),
		"escapes":     with("string", `"`+strings.Repeat(`\u0061`, 5000)+`"`),
	} {
		memory.Bounded(t, name, len(doc), func() { _, _ = typeddata.Parse([]byte(doc)) })
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(mail))
	for _, r := range documents(f) {
		if len(r.Document) < 2000 {
			f.Add([]byte(r.Document))
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := typeddata.Parse(doc)
		if err == nil && (d.EncodedType == "" || d.Preimage[0] != 0x19 || len(d.Message) == 0) {
			t.Errorf("%+v", d)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := typeddata.Parse([]byte(mail)); err != nil {
			b.Fatal(err)
		}
	}
}
