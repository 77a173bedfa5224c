package attack

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/kms/federation"
	"github.com/sigilkeys/sigil/internal/kms/gcpkms"
	"github.com/sigilkeys/sigil/internal/launcher"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
	"github.com/sigilkeys/sigil/test/stack"
)

const foreignKey = "projects/evil/locations/us-central1/keyRings/sigil/cryptoKeys/share"

// strayed returns what the cloud's KMS was asked other than by the two keys of
// the configuration, each by its own pool's principal.
func strayed(info cloudsim.Info, entries []cloudsim.AuditEntry) (out []string) {
	pools := map[string]string{info.TEEKey: info.TEEAudience, info.ProviderKey: info.ProviderAudience}
	for _, e := range entries {
		pool, _, _ := strings.Cut(strings.TrimPrefix(pools[e.Key], "//iam.googleapis.com/"), "/providers/")
		if pool == "" || !strings.Contains(e.Principal, "/"+pool+"/") {
			out = append(out, fmt.Sprintf("%s of %s as %s: %s", e.Method, e.Key, e.Principal, e.Decision))
		}
	}
	return out
}

// otherGenesis is the owner's genesis with other KMS keys, signed again.
func otherGenesis(t *testing.T, s *scene, teeKEK, providerKEK string) []byte {
	t.Helper()
	doc := s.owner.Genesis.Genesis
	tee := s.TEEReference()
	tee.TEEKEK, tee.ProviderKEK = teeKEK, providerKEK
	doc.TEEs = []authority.TEE{tee}
	raw, err := authority.SignEnvelope(authority.TypeGenesis, doc, s.owner.Admin)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Whoever writes the link's frames names KMS keys, audiences and issuers in
// every place that holds a text. The workload asks the keys of its measured
// configuration and no other, by the audiences of it, and attests as before.
func TestFramesSetNothing(t *testing.T) {
	s := newScene(t, stack.Options{NoDEKCache: true})
	info := s.Cloud.Info()
	c, err := s.Link.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, start := s.hello(t, c), lastAudit(s)

	// Genesis documents that the owner signed, for other keys.
	for name, raw := range map[string][]byte{
		"a foreign TEE key":      otherGenesis(t, s, foreignKey, info.ProviderKey),
		"a foreign provider key": otherGenesis(t, s, info.TEEKey, foreignKey),
		"the keys exchanged":     otherGenesis(t, s, info.ProviderKey, info.TEEKey),
		"a key version":          otherGenesis(t, s, info.TEEKey+"/cryptoKeyVersions/1", info.ProviderKey),
	} {
		if err := c.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectGenesis, Bytes: raw}}); code(err) != "release_not_accepted" && code(err) != "object_invalid" {
			t.Errorf("put a genesis with %s: %v", name, err)
		}
		if _, err := c.Provision(t.Context(), raw); code(err) != "release_not_accepted" && code(err) != "object_invalid" && code(err) != "document_invalid" {
			t.Errorf("provision a genesis with %s: %v", name, err)
		}
	}
	if raw := otherGenesis(t, s, info.TEEKey, info.ProviderKey); c.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectGenesis, Bytes: raw}}) != nil {
		t.Error("canary: the configured keys are refused as well")
	}

	// Shares whose records name other keys: the name is not what is asked.
	for _, name := range []string{foreignKey + "/cryptoKeyVersions/1", info.ProviderKey + "/cryptoKeyVersions/1", "https://kms.evil.test/v1/" + info.TEEKey} {
		record := s.row(t, s.one.ID)
		for i, raw := range record.Shares {
			share, err := sealed.DecodeShare(raw)
			if err != nil {
				t.Fatal(err)
			}
			share.KEK = name
			record.Shares[i] = share.Encode()
		}
		if out, err := s.ask(t, record, s.one.ID); err != nil || out.Item().ResultKind != teelink.ResultSignature {
			t.Errorf("shares said to be of %s: %v", name, err)
		}
	}
	s.decideExtras(t, c)
	s.rawFrames(t)

	if got := strayed(info, s.Cloud.Audit(start)); len(got) > 0 {
		t.Errorf("the KMS was asked %q", got)
	}
	if n := len(s.Cloud.Audit(start)); n < 6 {
		t.Errorf("the KMS was asked %d times: nothing was put to the test", n)
	}
	after := s.hello(t, c)
	if after != before || after.audience != receipt.EvidenceAudience || after.issuer != info.IssuerURL {
		t.Errorf("the instance is %+v, it was %+v", after, before)
	}
	s.strayedSees(t)
}

// instance is what an instance attests of where its trust comes from.
type instance struct {
	config           [32]byte
	audience, issuer string
}

func (s *scene) hello(t *testing.T, c *teelink.Client) instance {
	t.Helper()
	h, err := c.Hello(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.instanceOf(t, h)
}

func (s *scene) instanceOf(t *testing.T, h teelink.HelloReply) instance {
	t.Helper()
	st, err := receipt.DecodeStatement(h.Statement)
	if err != nil {
		t.Fatal(err)
	}
	root, err := confspace.ParseFingerprint(s.Cloud.Info().PKIRootSHA256)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := confspace.Verify(string(h.Token), confspace.Trust{PKIRoot: root}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return instance{st.Config, claims.Audience, claims.Issuer}
}

// decideExtras puts the host's wishes into requests, where the owner's own
// credential has even signed them.
func (s *scene) decideExtras(t *testing.T, c *teelink.Client) {
	key, err := s.Signing.Key(t.Context(), keyIDOf(s))
	if err != nil {
		t.Fatal(err)
	}
	record := s.row(t, s.one.ID).Encode()
	good := signBody(s.one.ID, "base", "pay")
	send := func(body string, edit func(*teelink.Decide)) string {
		d := s.decide(t, body)
		d.Genesis, d.Grant, d.Record = key.Genesis.Digest, key.Digest, sha256.Sum256(record)
		edit(d)
		out, err := c.Decide(t.Context(), d)
		if err == nil && out.Item().ResultKind != teelink.ResultSignature {
			return "denied"
		}
		return code(err)
	}
	if err := c.Put(t.Context(), []teelink.Object{{Kind: teelink.ObjectWalletRecord, Bytes: record}}); err != nil {
		t.Fatal(err)
	}
	if got := send(good, func(*teelink.Decide) {}); got != "" {
		t.Fatal("canary: without any wish:", got)
	}
	for _, member := range []string{"tee_key", "provider_key", "tee_audience", "provider_audience", "audience", "issuer", "kms_url", "sts_url", "launcher_socket", "dek_cache_seconds", "config"} {
		if got := send(strings.Replace(good, "{", fmt.Sprintf(`{%q:%q,`, member, foreignKey), 1), func(*teelink.Decide) {}); got != "malformed_json" && got != "unknown_field" {
			t.Errorf("a body with %s: %q", member, got)
		}
		for where, edit := range map[string]func(*teelink.Decide){
			"query":           func(d *teelink.Decide) { d.Query = member + "=" + foreignKey },
			"path":            func(d *teelink.Decide) { d.Path += "/" + member },
			"idempotency key": func(d *teelink.Decide) { d.IdempotencyKey = member + "=" + foreignKey },
		} {
			if got := send(good, edit); got != "signature_invalid" && got != "unsupported_request" && got != "invalid_argument" {
				t.Errorf("%s in the %s: %q", member, where, got)
			}
		}
	}
}

// rawFrames sends frames that no honest control plane sends: more than an
// operation's payload, and operations that don't exist.
func (s *scene) rawFrames(t *testing.T) {
	t.Helper()
	challenge := teelink.EncodeAttest(digestOf([]byte("root")))
	wish := []byte(`{"audience":"https://sts.googleapis.com","issuer":"https://evil.test","tee_key":"` + foreignKey + `"}`)
	send := func(f teelink.Frame) (teelink.Frame, error) {
		conn, err := tls.Dial("tcp", s.Link.Address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{teelink.ALPN}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		raw, err := teelink.AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(raw); err != nil {
			t.Fatal(err)
		}
		return teelink.ReadFrame(bufio.NewReader(conn))
	}
	// Canary: the bare operation is answered, with evidence for the one
	// audience that there is.
	reply, err := send(teelink.Frame{ID: 1, Op: teelink.OpAttest, Payload: challenge})
	if err != nil || reply.Op != teelink.OpAttestReply {
		t.Fatalf("canary: a challenge alone: %v, %v", reply.Op, err)
	}
	h, err := teelink.DecodeHelloReply(reply.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if i := s.instanceOf(t, h); i.audience != receipt.EvidenceAudience {
		t.Errorf("evidence for %s", i.audience)
	}
	time.Sleep(1100 * time.Millisecond) // its next turn: a refusal below isn't that it is busy
	for name, f := range map[string]teelink.Frame{
		"challenge and wish":  {ID: 1, Op: teelink.OpAttest, Payload: slices.Concat(challenge, wish)},
		"wish for evidence":   {ID: 1, Op: teelink.OpAttest, Payload: wish},
		"hello and wish":      {ID: 1, Op: teelink.OpHello, Payload: wish},
		"a wished checkpoint": {ID: 1, Op: teelink.OpCheckpoint, Payload: wish},
		"checkpoint and wish": {ID: 1, Op: teelink.OpCheckpoint, Payload: slices.Concat((&teelink.Checkpoint{}).Encode(), wish)},
		"a wished item":       {ID: 1, Op: teelink.OpDecideItem, Payload: wish},
	} {
		reply, err := send(f)
		if err == nil && reply.Op != teelink.OpError || bytes.Contains(reply.Payload, []byte("attestation_busy")) {
			t.Errorf("%s: answered with %#x %.80s", name, reply.Op, reply.Payload)
		}
	}
	for op := range 256 {
		switch teelink.Op(op) {
		case teelink.OpHello, teelink.OpPut, teelink.OpDecide, teelink.OpProvision, teelink.OpAttest, teelink.OpCheckpoint, teelink.OpDecideItem:
			continue
		}
		if reply, err := send(teelink.Frame{ID: 1, Op: teelink.Op(op), Payload: wish}); err == nil {
			t.Errorf("operation %#x: answered with %#x %.80s", op, reply.Op, reply.Payload)
		}
	}
}

// strayedSees is the canary of strayed: a workload that follows a name that
// the host gave, and one that uses the other key's pool.
func (s *scene) strayedSees(t *testing.T) {
	t.Helper()
	info := s.Cloud.Info()
	config, _ := stack.Config(t, s.Cloud, false)
	for name, c := range map[string]struct{ key, audience string }{
		"a foreign key":  {foreignKey, info.TEEAudience},
		"the other pool": {info.TEEKey, info.ProviderAudience},
	} {
		start := lastAudit(s)
		source, err := federation.New(federation.Config{TokenURL: config.STSURL, Audience: c.audience, Roots: config.Roots(),
			Subject: launcher.New(config.LauncherSocket, 10*time.Second), Timeout: 10 * time.Second, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		k, err := gcpkms.New(gcpkms.Config{KeyName: c.key, BaseURL: config.KMSURL, RootCAs: config.Roots(), Token: source})
		if err != nil {
			t.Fatal(err)
		}
		var dek [32]byte
		_, _, err = k.Wrap(t.Context(), &dek, []byte("aad"))
		k.Close()
		source.Close()
		if err == nil {
			t.Errorf("canary: %s serves", name)
		}
		if got := strayed(info, s.Cloud.Audit(start)); len(got) == 0 {
			t.Errorf("canary: asking by %s isn't seen", name)
		}
	}
}
