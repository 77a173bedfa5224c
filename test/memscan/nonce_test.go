package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"
	"slices"

	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/bitcoin"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/chain/solana"
	"github.com/sigilkeys/sigil/internal/keys"
)

// lastSignatures is how many are kept, and their nonces looked for.
const lastSignatures = 64

// signature is a request with its answer.
type signature struct {
	wallet, network, format, message, text string
}

// joined is a key that was learned.
type joined struct {
	priv   [32]byte
	public []byte
}

// nonces learns the nonces of signatures: whoever has one and its signature
// has the key. They follow from the signature and the key.
func (l *learner) nonces(list []signature) {
	l.t.Helper()
	networks, err := chain.NewRegistry(bitcoin.Networks(), evm.Networks(), solana.Networks())
	if err != nil {
		l.t.Fatal(err)
	}
	for i, s := range list {
		n, ok := networks.Lookup(s.network)
		if !ok {
			l.t.Fatalf("no network %s", s.network)
		}
		k, ok := l.keys[keyID(s.wallet, n.Curve)]
		if !ok {
			l.t.Fatalf("no key of wallet %s for %s", s.wallet, s.network)
		}
		prepared, err := n.Codec.Message(n, k.public, &chain.Message{Message: s.message, Format: s.format})
		if err != nil {
			l.t.Fatal(err)
		}
		if !n.Verify(k.public, prepared, s.text) {
			l.t.Fatalf("the signature for %s is wrong", s.network)
		}
		form := prepared.Text
		if form == nil {
			form = n.Codec
		}
		raw, err := form.DecodeSignature(s.text)
		if err != nil {
			l.t.Fatal(err)
		}
		switch label := fmt.Sprint("signature ", i); {
		case prepared.Signatures()[0].Scheme == keys.SchemeTaproot:
			l.taprootNonce(label, k, prepared.SignBytes, raw)
		case n.Curve == keys.Secp256k1:
			l.secp256k1Nonce(label, k, prepared.SignBytes, raw)
		default:
			l.ed25519Nonce(label, k, prepared.SignBytes, raw)
		}
	}
}

// secp256k1Nonce: k = (z + r d) / s, and its negative, which a low s hides
// (SEC 1, section 4.1.3).
func (l *learner) secp256k1Nonce(label string, key *joined, digest, sig []byte) {
	l.t.Helper()
	order := secp256k1Order()
	integer := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	k := new(big.Int).Mul(integer(sig[:32]), integer(key.priv[:]))
	k.Add(k, integer(digest)).Mul(k, new(big.Int).ModInverse(integer(sig[32:64]), order)).Mod(k, order)
	var nonce, negative [32]byte
	k.FillBytes(nonce[:])
	k.Sub(order, k).FillBytes(negative[:])
	point := make([]byte, 33)
	if err := keys.Public(keys.Secp256k1, &nonce, point); err != nil || !bytes.Equal(point[1:], sig[:32]) {
		l.t.Fatalf("%s: not its nonce: %v", label, err)
	}
	l.add(label+" nonce", nonce[:])
	l.add(label+" negative nonce", negative[:])
}

func secp256k1Order() *big.Int {
	order, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	return order
}

// taprootNonce: k = s - e d, where d is the key tweaked by its own hash (BIP-340,
// BIP-341); d is as secret as the key. Of both there are the negatives, as
// points have even y there.
func (l *learner) taprootNonce(label string, key *joined, digest, sig []byte) {
	l.t.Helper()
	order := secp256k1Order()
	tagged := func(tag string, parts ...[]byte) *big.Int {
		name := sha256.Sum256([]byte(tag))
		sum := sha256.Sum256(slices.Concat(append([][]byte{name[:], name[:]}, parts...)...))
		return new(big.Int).SetBytes(sum[:])
	}
	public := func(scalar *big.Int) (b, point []byte) {
		b, point = scalar.FillBytes(make([]byte, 32)), make([]byte, 33)
		if err := keys.Public(keys.Secp256k1, (*[32]byte)(b), point); err != nil {
			l.t.Fatal(err)
		}
		return b, point
	}
	even := func(scalar *big.Int, name string) (x []byte) {
		b, point := public(scalar)
		negative, _ := public(new(big.Int).Sub(order, scalar))
		l.add(label+" "+name, b)
		l.add(label+" negative "+name, negative)
		if point[0] == 3 {
			scalar.Sub(order, scalar)
		}
		return point[1:]
	}
	d := new(big.Int).SetBytes(key.priv[:])
	if key.public[0] == 3 {
		d.Sub(order, d)
	}
	d.Add(d, tagged("TapTweak", key.public[1:])).Mod(d, order)
	x := even(d, "tweaked key")
	k := tagged("BIP0340/challenge", sig[:32], x, digest)
	k.Sub(new(big.Int).SetBytes(sig[32:]), k.Mul(k, d)).Mod(k, order)
	if rx := even(k, "nonce"); !bytes.Equal(rx, sig[:32]) {
		l.t.Fatalf("%s: not its nonce", label)
	}
}

// ed25519Nonce: r = SHA-512(prefix, message), as it comes and reduced
// (RFC 8032, section 5.1.6).
func (l *learner) ed25519Nonce(label string, key *joined, message, sig []byte) {
	l.t.Helper()
	order, _ := new(big.Int).SetString("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16)
	integer := func(b []byte) *big.Int {
		b = slices.Clone(b)
		slices.Reverse(b)
		return new(big.Int).SetBytes(b)
	}
	h := sha512.Sum512(key.priv[:])
	wide := sha512.Sum512(slices.Concat(h[32:], message))
	challenge := sha512.Sum512(slices.Concat(sig[:32], key.public, message))
	h[0], h[31] = h[0]&0xf8, h[31]&0x3f|0x40
	r := integer(wide[:])
	r.Mod(r, order)
	s := new(big.Int).Mul(integer(challenge[:]), integer(h[:32]))
	if s.Add(s, r).Mod(s, order).Cmp(integer(sig[32:])) != 0 {
		l.t.Fatalf("%s: not its nonce", label)
	}
	var nonce [32]byte
	r.FillBytes(nonce[:])
	l.add(label+" nonce", nonce[:])
	l.add(label+" low hash nonce", wide[:32])
	l.add(label+" high hash nonce", wide[32:])
}
