package main

import (
	"crypto/ed25519"

	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/keys"
	"github.com/sigilkeys/sigil/internal/sealed"
	"github.com/sigilkeys/sigil/receipt"
)

// key is a fixed Ed25519 key.
func key(start byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(seq(start, 32)) }

func public(k ed25519.PrivateKey) [32]byte { return [32]byte(k[32:]) }

const release = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func sampleStatement() *receipt.Statement {
	return &receipt.Statement{InstanceKey: public(key(1)), LinkKey: seq32(0x20), Config: seq32(0x40), Started: 1764000000000000, Issued: 1764000001000000}
}

func statements() (file, error) {
	f := file{Format: "instance-statement", Section: "6.1"}
	s := sampleStatement()
	d := s.Digest()
	f.good("statement", s.Encode(), map[string]any{"instance_key": h(s.InstanceKey[:]), "link_key": h(s.LinkKey[:]), "configuration": h(s.Config[:]),
		"challenges": h(s.Challenges[:]), "started": s.Started, "issued": s.Issued, "digest": h(d[:]), "nonce": s.Nonce()})
	f.broken(s.Encode(), true)
	return f, nil
}

func stateCertificates() (file, error) {
	f := file{Format: "state-certificate", Section: "6.2"}
	c := &receipt.StateCertificate{Organization: seq16(0x10), Genesis: seq32(0x30), StateKey: public(key(2)), Release: release, Statement: sampleStatement().Digest(), Created: 1764000002000000}
	signed, err := c.Sign(key(1))
	if err != nil {
		return f, err
	}
	e := f.good("certificate", signed, map[string]any{"organization": canon.UUID(c.Organization).String(), "genesis": h(c.Genesis[:]), "state_key": h(c.StateKey[:]),
		"release": c.Release, "statement": h(c.Statement[:]), "created": c.Created})
	instance := public(key(1))
	e.Context = map[string]any{"instance_key": h(instance[:])}
	f.broken(signed, true)
	other, err := c.Sign(key(9))
	if err != nil {
		return f, err
	}
	f.bad("signed by another key", "signature", other)
	return f, nil
}

func walletCertificate(edit func(*receipt.WalletCertificate), signer ed25519.PrivateKey) ([]byte, *receipt.WalletCertificate, error) {
	c := &receipt.WalletCertificate{Organization: seq16(0x10), Genesis: seq32(0x30), StateKey: public(key(2)), Wallet: seq16(0x50), Release: release, Created: 1764000003000000}
	for _, curve := range []keys.Curve{keys.Secp256k1, keys.Ed25519} {
		priv, pub := seq32(0x77), make([]byte, curve.PublicKeySize())
		if err := keys.Public(curve, &priv, pub); err != nil {
			return nil, nil, err
		}
		c.Keys = append(c.Keys, receipt.CertifiedKey{Curve: curve, Kind: receipt.KeyKindKey, PublicKey: pub})
	}
	edit(c)
	signed, err := c.Sign(func(record, sig []byte) error { copy(sig, ed25519.Sign(signer, record)); return nil })
	return signed, c, err
}

func walletCertificates() (file, error) {
	f := file{Format: "wallet-certificate", Section: "6.3"}
	signed, c, err := walletCertificate(func(*receipt.WalletCertificate) {}, key(2))
	if err != nil {
		return f, err
	}
	list := []map[string]any{}
	for _, k := range c.Keys {
		list = append(list, map[string]any{"curve": k.Curve.String(), "kind": k.Kind, "path": k.Path, "public_key": h(k.PublicKey)})
	}
	f.good("two curves", signed, map[string]any{"organization": canon.UUID(c.Organization).String(), "genesis": h(c.Genesis[:]), "state_key": h(c.StateKey[:]),
		"wallet": canon.UUID(c.Wallet).String(), "flags": c.Flags, "release": c.Release, "created": c.Created, "keys": list})
	f.broken(signed, true)
	for _, b := range []struct {
		name, failure string
		edit          func(*receipt.WalletCertificate)
		signer        ed25519.PrivateKey
	}{
		{"signed by another key", "signature", func(*receipt.WalletCertificate) {}, key(9)},
		{"no keys", "keys", func(c *receipt.WalletCertificate) { c.Keys = nil }, key(2)},
		{"keys out of order", "keys", func(c *receipt.WalletCertificate) { c.Keys[0], c.Keys[1] = c.Keys[1], c.Keys[0] }, key(2)},
		{"unknown flag", "flags", func(c *receipt.WalletCertificate) { c.Flags = 4 }, key(2)},
		{"unknown curve", "keys", func(c *receipt.WalletCertificate) { c.Keys[1].Curve = 3 }, key(2)},
	} {
		bad, _, err := walletCertificate(b.edit, b.signer)
		if err != nil {
			return f, err
		}
		f.bad(b.name, b.failure, bad)
	}
	return f, nil
}

func sampleLeaf() *receipt.Leaf {
	return &receipt.Leaf{ID: seq16(0x01), Kind: receipt.KindSign, Decision: receipt.Allow, Auth: receipt.AuthSignature, Freshness: receipt.FreshnessNone,
		Organization: seq16(0x10), Genesis: seq32(0x30), Grant: seq32(0x31), Credential: public(key(5)), Wallet: seq16(0x50), RequestID: seq16(0x60),
		RequestDigest: seq32(0x61), IdempotencyDigest: seq32(0x62), PayloadDigest: seq32(0x63), IntentDigest: seq32(0x64), OutputDigest: seq32(0x65),
		Method: "signMessage", Network: "base", Reason: receipt.ReasonAllowed, Release: release, Time: 1764000004000000}
}

func leafFields(l *receipt.Leaf) map[string]any {
	return map[string]any{"id": l.ID.String(), "kind": l.Kind, "decision": l.Decision, "auth": l.Auth, "freshness": l.Freshness,
		"organization": l.Organization.String(), "genesis": h(l.Genesis[:]), "grant": h(l.Grant[:]), "credential": h(l.Credential[:]),
		"wallet": l.Wallet.String(), "request_id": l.RequestID.String(), "request_digest": h(l.RequestDigest[:]), "idempotency_digest": h(l.IdempotencyDigest[:]),
		"payload_digest": h(l.PayloadDigest[:]), "intent_digest": h(l.IntentDigest[:]), "output_digest": h(l.OutputDigest[:]),
		"method": l.Method, "network": l.Network, "reason": l.Reason, "release": l.Release, "time": l.Time}
}

func leaves() (file, error) {
	f := file{Format: "receipt-leaf", Section: "7.1"}
	deny := sampleLeaf()
	deny.Decision, deny.Reason, deny.OutputDigest = receipt.Deny, "policy_network", [32]byte{}
	for name, l := range map[string]*receipt.Leaf{"allow": sampleLeaf()} {
		b, err := l.Encode()
		if err != nil {
			return f, err
		}
		f.good(name, b, leafFields(l))
		f.broken(b, true)
	}
	b, err := deny.Encode()
	if err != nil {
		return f, err
	}
	f.good("deny", b, leafFields(deny))
	for _, c := range []struct {
		name string
		edit func(*receipt.Leaf)
	}{
		{"undecided", func(l *receipt.Leaf) { l.Decision = 0 }},
		{"unknown kind", func(l *receipt.Leaf) { l.Kind = 9 }},
		{"no auth class", func(l *receipt.Leaf) { l.Auth = 0 }},
		{"allow without output", func(l *receipt.Leaf) { l.OutputDigest = [32]byte{} }},
		{"allow with a reason to deny", func(l *receipt.Leaf) { l.Reason = "policy_wallet" }},
	} {
		l := sampleLeaf()
		c.edit(l)
		b, err := l.Encode()
		if err != nil {
			return f, err
		}
		f.bad(c.name, "values", b)
	}
	return f, nil
}

func sampleBatch() (*receipt.Batch, []byte, *receipt.Tree, [][]byte, error) {
	var list [][]byte
	for i := range 3 {
		l := sampleLeaf()
		l.ID[0] += byte(i)
		b, err := l.Encode()
		if err != nil {
			return nil, nil, nil, nil, err
		}
		list = append(list, b)
	}
	tree := receipt.NewTree(list)
	b := &receipt.Batch{InstanceKey: public(key(1)), Statement: sampleStatement().Digest(), Number: 7, Previous: seq32(0x70), Time: 1764000005000000, Count: 3, Root: tree.Root(),
		Heads: []receipt.Head{{Organization: seq16(0x10), Size: 9, Root: seq32(0x71)}}}
	signed, err := b.Sign(key(1))
	return b, signed, tree, list, err
}

func batches() (file, error) {
	f := file{Format: "batch", Section: "7.2"}
	b, signed, _, _, err := sampleBatch()
	if err != nil {
		return f, err
	}
	f.good("batch of three", signed, map[string]any{"instance_key": h(b.InstanceKey[:]), "statement": h(b.Statement[:]), "number": b.Number, "previous": h(b.Previous[:]),
		"time": b.Time, "count": b.Count, "root": h(b.Root[:]),
		"heads": []map[string]any{{"organization": b.Heads[0].Organization.String(), "size": b.Heads[0].Size, "root": h(b.Heads[0].Root[:])}}})
	f.broken(signed, true)
	for _, c := range []struct {
		name, failure string
		edit          func(*receipt.Batch)
		signer        ed25519.PrivateKey
	}{
		{"no leaves", "values", func(b *receipt.Batch) { b.Count = 0 }, key(1)},
		{"number zero", "values", func(b *receipt.Batch) { b.Number = 0 }, key(1)},
		{"first with a previous", "values", func(b *receipt.Batch) { b.Number = 1 }, key(1)},
		{"signed by another key", "signature", func(*receipt.Batch) {}, key(9)},
	} {
		bad := *b
		c.edit(&bad)
		signed, err := bad.Sign(c.signer)
		if err != nil {
			return f, err
		}
		f.bad(c.name, c.failure, signed)
	}
	return f, nil
}

func receipts() (file, error) {
	f := file{Format: "receipt", Section: "7.3"}
	b, signed, tree, list, err := sampleBatch()
	if err != nil {
		return f, err
	}
	for i := range list {
		r := &receipt.Receipt{Leaf: list[i], Index: uint32(i), Path: tree.Path(i), Batch: signed}
		path := []string{}
		for _, p := range r.Path {
			path = append(path, h(p[:]))
		}
		f.good([]string{"first", "middle", "last without sibling"}[i], r.Encode(), map[string]any{"leaf": h(r.Leaf), "index": r.Index, "path": path, "batch": h(signed), "number": b.Number})
	}
	good := &receipt.Receipt{Leaf: list[1], Index: 1, Path: tree.Path(1), Batch: signed}
	f.broken(good.Encode(), true)
	for _, c := range []struct {
		name string
		edit func(*receipt.Receipt)
	}{
		{"index of another leaf", func(r *receipt.Receipt) { r.Index = 0 }},
		{"index beyond the batch", func(r *receipt.Receipt) { r.Index = 3 }},
		{"path too short", func(r *receipt.Receipt) { r.Path = r.Path[1:] }},
		{"path too long", func(r *receipt.Receipt) { r.Path = append(tree.Path(1), tree.Root()) }},
		{"leaf of another batch", func(r *receipt.Receipt) { r.Leaf = append(r.Leaf[:len(r.Leaf)-1:len(r.Leaf)-1], 1) }},
	} {
		r := *good
		c.edit(&r)
		f.bad(c.name, "path", r.Encode())
	}
	return f, nil
}

func checkpoints() (file, error) {
	f := file{Format: "checkpoint", Section: "7.4"}
	origin := receipt.LogOrigin(seq16(0x10), 1)
	c := &receipt.Checkpoint{Origin: origin, Size: 42, Root: seq32(0x70)}
	text := c.Sign(key(2))
	log := public(key(2))
	e := f.good("checkpoint", []byte(text), map[string]any{"origin": origin, "size": c.Size, "root": h(c.Root[:])})
	e.Context = map[string]any{"origin": origin, "log_key": h(log[:])}
	f.bad("signed by another key", "signature", []byte(c.Sign(key(9))))
	c.Size = 43
	other := c.Sign(key(2))
	f.bad("size altered", "signature", []byte(text[:len(origin)+1]+"43"+text[len(origin)+3:]))
	f.bad("signature line missing", "truncated", []byte(other[:len(origin)+1+3+45+1]))
	c.Origin = receipt.LogOrigin(seq16(0x10), 2)
	f.bad("another epoch", "origin", []byte(c.Sign(key(2))))
	return f, nil
}

func aads() (file, error) {
	f := file{Format: "share-aad", Section: "5.1"}
	a := &sealed.AAD{Genesis: seq32(0x30), StateKey: seq32(0x32), Organization: seq16(0x10), Wallet: seq16(0x50), Curve: keys.Secp256k1,
		Kind: sealed.KindKey, Role: sealed.RoleTEE, Epoch: 1, PublicKey: append([]byte{2}, seq(0x80, 32)...)}
	f.good("TEE share", a.Encode(), aadFields(a))
	a.Role, a.Epoch, a.Flags, a.Curve, a.PublicKey = sealed.RoleProvider, 7, 3, keys.Ed25519, seq(0x80, 32)
	f.good("provider share of a later epoch", a.Encode(), aadFields(a))
	f.broken(a.Encode(), true)
	s := &sealed.AAD{Genesis: seq32(0x30), Organization: seq16(0x10), Curve: keys.Ed25519, Kind: sealed.KindState, Role: sealed.RoleTEE, Epoch: 1, PublicKey: seq(0x80, 32)}
	f.good("state key", s.Encode(), aadFields(s))
	for name, edit := range map[string]func(*sealed.AAD){"no role": func(a *sealed.AAD) { a.Role = 0 }} {
		bad := *a
		edit(&bad)
		f.bad(name, "values", bad.Encode())
	}
	bad := *a
	bad.Flags = 4
	f.bad("unknown flag", "values", bad.Encode())
	return f, nil
}

func aadFields(a *sealed.AAD) map[string]any {
	return map[string]any{"genesis": h(a.Genesis[:]), "state_key": h(a.StateKey[:]), "organization": a.Organization.String(), "wallet": a.Wallet.String(),
		"curve": a.Curve.String(), "kind": a.Kind, "path": a.Path, "role": a.Role.String(), "epoch": a.Epoch, "public_key": h(a.PublicKey), "flags": a.Flags, "kms_aad": string(a.KMSAAD())}
}

func shares() (file, error) {
	f := file{Format: "sealed-share", Section: "5.2"}
	s := &sealed.Share{Role: sealed.RoleTEE, Epoch: 1, KEK: "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", WrappedDEK: seq(0x90, 60),
		Nonce: [12]byte(seq(0xa0, 12)), Ciphertext: [48]byte(seq(0xb0, 48))}
	f.good("share", s.Encode(), map[string]any{"role": s.Role.String(), "epoch": s.Epoch, "kek": s.KEK, "wrapped_dek": h(s.WrappedDEK), "nonce": h(s.Nonce[:]), "ciphertext": h(s.Ciphertext[:])})
	f.broken(s.Encode(), true)
	s.Role = 3
	f.bad("unknown role", "values", s.Encode())
	return f, nil
}
