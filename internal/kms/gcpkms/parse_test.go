package gcpkms

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

func TestBase64AgainstStandardLibrary(t *testing.T) {
	for n := range 200 {
		in := make([]byte, n)
		if _, err := rand.Read(in); err != nil {
			t.Fatal(err)
		}
		enc := appendBase64(nil, in)
		if want := base64.StdEncoding.EncodeToString(in); string(enc) != want {
			t.Fatalf("%s, want %s", enc, want)
		}
		out := make([]byte, n)
		if got, ok := decodeBase64(out, enc); !ok || got != n || !bytes.Equal(out, in) {
			t.Fatalf("%d bytes don't come back", n)
		}
		if n > 0 {
			if _, ok := decodeBase64(out[:n-1], enc); ok {
				t.Fatalf("%d bytes fit into %d", n, n-1)
			}
		}
	}
}

func FuzzBase64(f *testing.F) {
	for _, s := range []string{"", "AA==", "AB==", "AAE=", "AAF=", "A===", "====", "AA=A", "-_8=", "AA\n=", "AAAA"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		dst := make([]byte, len(in))
		n, ok := decodeBase64(dst, in)
		want, err := base64.StdEncoding.Strict().DecodeString(string(in))
		if bytes.ContainsAny(in, "\r\n") {
			if ok {
				t.Fatal("line breaks accepted")
			}
			return
		}
		if ok != (err == nil) || ok && !bytes.Equal(dst[:n], want) {
			t.Fatalf("%q: %v, standard library %v", in, ok, err)
		}
	})
}

func TestParseReply(t *testing.T) {
	good := `{"name":"n","plaintext":"AA\u003d\u003D","plaintextCrc32c":"7","verifiedPlaintextCrc32c":true,` +
		`"verifiedAdditionalAuthenticatedDataCrc32c":false,"usedPrimary":true,"new":{"a":[1,-2.5e3,null,"\u00e9\n",{}],"b":[]}}` + "\n"
	r, err := parseReply([]byte(good), "plaintext")
	if err != nil || string(r.name) != "n" || string(r.data) != "AA==" || string(r.crc) != "7" || !r.verified || r.verifiedAAD {
		t.Fatalf("%+v %v", r, err)
	}
	for name, bad := range map[string]string{
		"nothing":         ``,
		"two objects":     `{}{}`,
		"array":           `[]`,
		"duplicate":       `{"plaintext":"AA==","plaintext":"AQ=="}`,
		"escaped twin":    `{"plaintext":"AA==","pl\u0061intext":"AQ=="}`,
		"duplicate flag":  `{"verifiedPlaintextCrc32c":false,"verifiedPlaintextCrc32c":true}`,
		"number as data":  `{"plaintext":7}`,
		"number as crc":   `{"plaintextCrc32c":7}`,
		"string as flag":  `{"verifiedPlaintextCrc32c":"true"}`,
		"open string":     `{"plaintext":"AA`,
		"control":         "{\"plaintext\":\"A\nA\"}",
		"bad escape":      `{"plaintext":"\x41"}`,
		"short escape":    `{"plaintext":"\u00"}`,
		"trailing comma":  `{"a":1,}`,
		"no colon":        `{"a" 1}`,
		"too deep":        `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
		"too deep object": strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat("}", 40),
	} {
		if _, err := parseReply([]byte(bad), "plaintext"); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

// What this parser accepts, the standard library accepts with the same values.
func FuzzParseReply(f *testing.F) {
	f.Add([]byte(`{"plaintext":"AA\u003d=","plaintextCrc32c":"7","x":[{"y":null}]}`))
	f.Add([]byte(`{"name":"a","verifiedPlaintextCrc32c":true}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := parseReply(bytes.Clone(in), "plaintext")
		if err != nil {
			return
		}
		for _, b := range in {
			if b == '\\' || b >= 0x80 {
				return // escapes of other characters become '?'
			}
		}
		var m map[string]any
		if err := json.Unmarshal(in, &m); err != nil {
			t.Fatalf("accepted %q: %v", in, err)
		}
		if s, ok := m["plaintext"].(string); ok != r.seen[1] || s != string(r.data) {
			t.Fatalf("%q read as %q", s, r.data)
		}
	})
}

func read(stream io.Reader) (*response, error) {
	return readResponse(&reader{src: stream, buf: make([]byte, maxReply)})
}

func TestReadResponse(t *testing.T) {
	for name, c := range map[string]struct {
		in, body string
		close    bool
	}{
		"length":        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "{}", false},
		"no reason":     {"HTTP/1.1 200\r\ncontent-length:2\r\n\r\n{}", "{}", false},
		"chunks":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n0001\r\n}\r\n0\r\nTrailer: x\r\n\r\n", "{}", false},
		"close":         {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", "{}", true},
		"more to come":  {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n", "{}", true},
		"empty refusal": {"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n", "", false},
	} {
		for _, slow := range []bool{false, true} {
			var src io.Reader = strings.NewReader(c.in)
			if slow {
				src = iotest.OneByteReader(src)
			}
			r, err := read(src)
			if err != nil || string(r.body) != c.body || !slow && r.close != c.close {
				t.Errorf("%s: %+v %v", name, r, err)
			}
		}
	}
	for name, in := range map[string]string{
		"nothing":            "",
		"HTTP/1.0":           "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		"interim":            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		"long status":        "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
		"no length":          "HTTP/1.1 200 OK\r\n\r\n{}",
		"two lengths":        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
		"length and chunks":  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"chunks and length":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"signed length":      "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
		"list of lengths":    "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}",
		"huge length":        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
		"short body":         "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
		"compressed":         "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
		"other coding":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"folded header":      "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
		"space before colon": "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
		"bare line feeds":    "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
		"chunk without end":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
		"chunks cut":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
		"chunk too long":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n{}\r\n",
		"endless header":     "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", maxReply),
	} {
		if r, err := read(strings.NewReader(in)); err == nil {
			t.Errorf("%s accepted: %+v", name, r)
		}
	}
}

// What this reader accepts, net/http reads alike.
func FuzzReadResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := read(bytes.NewReader(in))
		if err != nil {
			return
		}
		other, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(in)), httptest.NewRequest(http.MethodPost, "/", nil))
		if err != nil {
			return // net/http is stricter about names, values and reasons
		}
		body, err := io.ReadAll(other.Body)
		if err != nil || r.status == 204 || r.status == 304 {
			return
		}
		if other.StatusCode != r.status || !bytes.Equal(body, r.body) {
			t.Fatalf("%d %q, net/http %d %q", r.status, r.body, other.StatusCode, body)
		}
	})
}

func TestCheckVersion(t *testing.T) {
	const key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
	for name, want := range map[string]bool{
		key + "/cryptoKeyVersions/1": true, key + "/cryptoKeyVersions/12": true,
		key: false, key + "/cryptoKeyVersions/": false, key + "/cryptoKeyVersions/0": false, key + "/cryptoKeyVersions/01": false,
		key + "2/cryptoKeyVersions/1": false, key + "/cryptoKeyVersions/1/x": false, "": false,
		"projects/q/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1": false,
	} {
		if (checkVersion([]byte(name), key) == nil) != want {
			t.Errorf("%q: want %v", name, want)
		}
	}
}
