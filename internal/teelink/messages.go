package teelink

import (
	"github.com/sigilkeys/sigil/internal/canon"
)

// Bounds of the payload fields, in bytes or items (docs/FORMATS.md section 8).
const (
	MaxBody      = 64 << 10
	MaxObject    = 32 << 10
	maxStatement = 1024
	maxToken     = 16 << 10
	maxRelease   = 128
	maxBatch     = 8 << 10
	maxLeaf      = 4 << 10
	maxResult    = 32 << 10
	MaxItems     = 256
	// MaxBatchItems bounds the items of one request.
	MaxBatchItems = 1000
	MaxObjects    = 16
	maxMissing    = 8
	maxState      = 8 << 10
	maxExplain    = 512
	maxCode       = 64
)

// ObjectKind says what a put object is.
type ObjectKind uint8

// Kinds of objects that the workload takes into its caches.
const (
	ObjectGenesis      ObjectKind = 1
	ObjectGrant        ObjectKind = 2
	ObjectRevocation   ObjectKind = 3
	ObjectWalletRecord ObjectKind = 4
	ObjectStateRecord  ObjectKind = 5
)

// Object is something content-addressed that a decision refers to by digest.
type Object struct {
	Kind  ObjectKind
	Bytes []byte
}

// HelloReply introduces an instance: its statement with the token that vouches
// for it, the image digest it runs as, and its version.
type HelloReply struct {
	Statement []byte
	Token     []byte
	Release   string
	Version   string
}

// Encode returns the payload.
func (h HelloReply) Encode() []byte {
	return canon.NewWriter("", 256+len(h.Token)).Bytes(h.Statement).Bytes(h.Token).
		Text(h.Release).Text(h.Version).MustRecord()
}

// DecodeHelloReply reads the payload.
func DecodeHelloReply(p []byte) (HelloReply, error) {
	r := canon.NewReader("", p)
	h := HelloReply{Statement: r.Bytes(maxStatement), Token: r.Bytes(maxToken), Release: r.Text(maxRelease), Version: r.Text(64)}
	return h, r.Close()
}

// EncodeAttest returns the payload of an attest frame: the Merkle root over
// callers' challenges.
func EncodeAttest(challenges [32]byte) []byte {
	return canon.NewWriter("", 32).Fixed(challenges[:]).MustRecord()
}

// DecodeAttest reads the payload of an attest frame.
func DecodeAttest(p []byte) (challenges [32]byte, err error) {
	r := canon.NewReader("", p)
	r.Fixed(challenges[:])
	return challenges, r.Close()
}

// EncodePut returns the payload of a put.
func EncodePut(objects []Object) []byte {
	w := canon.NewWriter("", 1024).U32(uint32(len(objects)))
	for _, o := range objects {
		w.U8(uint8(o.Kind)).Bytes(o.Bytes)
	}
	return w.MustRecord()
}

// DecodePut reads the payload of a put.
func DecodePut(p []byte) ([]Object, error) {
	r := canon.NewReader("", p)
	n := r.Count(MaxObjects)
	objects := make([]Object, 0, n)
	for range n {
		o := Object{Kind: ObjectKind(r.U8()), Bytes: r.Bytes(MaxObject)}
		if o.Kind < ObjectGenesis || o.Kind > ObjectStateRecord {
			r.Fail("object kind %d", o.Kind)
		}
		objects = append(objects, o)
	}
	return objects, r.Close()
}

// Auth classes of a decide payload; the same numbers as in a receipt.
const (
	AuthSignature uint8 = 1
	AuthBearer    uint8 = 2
)

// Decide is one client request as the control plane received it, with the
// digests of the objects that it should be decided on.
type Decide struct {
	Genesis [32]byte
	Grant   [32]byte
	Record  [32]byte // of the wallet record to sign with, or of the state record to create a wallet
	Auth    uint8    // AuthSignature or AuthBearer

	Method         string // HTTP method
	Path           string // as sent
	Query          string // raw, without "?"
	Created        int64  // unix seconds, from the request signature
	RequestID      canon.UUID
	IdempotencyKey string // "" = header absent
	Proof          []byte // 64-byte Ed25519 signature, or the secret token
	Body           []byte

	// Item is one plus the index of the item of the body that is to be
	// decided; 0 in a request that isn't a batch.
	Item uint32
}

// Encode returns the payload of a decide frame or, with an Item, of a decide
// item frame.
func (d *Decide) Encode() ([]byte, error) {
	w := canon.NewWriter("", 256+len(d.Path)+len(d.Query)+len(d.Proof)+len(d.Body))
	if d.Item != 0 {
		w.U32(d.Item - 1)
	}
	return w.Fixed(d.Genesis[:]).Fixed(d.Grant[:]).Fixed(d.Record[:]).U8(d.Auth).
		Text(d.Method).Text(d.Path).Text(d.Query).U64(uint64(d.Created)).Fixed(d.RequestID[:]).
		Text(d.IdempotencyKey).Bytes(d.Proof).Bytes(d.Body).Record()
}

// DecodeDecide reads the payload of a decide frame. Slices share memory with
// it.
func DecodeDecide(p []byte) (*Decide, error) { return decodeDecide(Frame{Op: OpDecide, Payload: p}) }

// DecodeDecideItem reads the payload of a decide item frame. Slices share
// memory with it.
func DecodeDecideItem(p []byte) (*Decide, error) {
	return decodeDecide(Frame{Op: OpDecideItem, Payload: p})
}

func decodeDecide(f Frame) (*Decide, error) {
	r := canon.NewReader("", f.Payload)
	d := &Decide{}
	if f.Op == OpDecideItem {
		index := r.U32()
		if index >= MaxBatchItems {
			r.Fail("item %d", index)
		}
		d.Item = index + 1
	}
	r.Fixed(d.Genesis[:])
	r.Fixed(d.Grant[:])
	r.Fixed(d.Record[:])
	d.Auth = r.U8()
	d.Method, d.Path, d.Query = r.Text(8), r.Text(256), r.Text(1024)
	d.Created = int64(r.U64())
	r.Fixed(d.RequestID[:])
	d.IdempotencyKey = r.Text(255)
	d.Proof, d.Body = r.Bytes(128), r.Bytes(MaxBody)
	if d.Auth != AuthSignature && d.Auth != AuthBearer {
		r.Fail("auth class %d", d.Auth)
	}
	return d, r.Close()
}

// ResultKind says what the result bytes of an item are.
type ResultKind uint8

// Result kinds.
const (
	ResultNone      ResultKind = 0 // denied
	ResultSignature ResultKind = 1 // signature in the network's text form
	ResultWallet    ResultKind = 2 // wallet record
)

// Item is the outcome of one decide frame inside a batch.
type Item struct {
	ID          uint64 // of the decide frame
	Leaf        []byte // receipt leaf
	ResultKind  ResultKind
	Result      []byte
	Explanation string // for people, on deny
}

// size is an upper bound of the item's encoding.
func (it *Item) size() int {
	return 8 + 4 + len(it.Leaf) + 1 + 4 + len(it.Result) + 4 + min(len(it.Explanation), maxExplain)
}

// EncodeBatch returns the payload of a batch frame. Over-long explanations are
// cut: they quote what was asked for, and the other side would take the frame
// for none of this protocol.
func EncodeBatch(signed []byte, items []Item) ([]byte, error) {
	size := len(signed) + 8
	for i := range items {
		size += items[i].size()
	}
	w := canon.NewWriter("", size).Bytes(signed).U32(uint32(len(items)))
	for i := range items {
		it := &items[i]
		w.U64(it.ID).Bytes(it.Leaf).U8(uint8(it.ResultKind)).Bytes(it.Result).Text(cut(it.Explanation, maxExplain))
	}
	return w.Record()
}

// DecodeBatch reads the payload of a batch frame. Slices share memory with it.
func DecodeBatch(p []byte) (signed []byte, items []Item, err error) {
	r := canon.NewReader("", p)
	signed = r.Bytes(maxBatch)
	n := r.Count(MaxItems)
	items = make([]Item, 0, n)
	for range n {
		it := Item{ID: r.U64(), Leaf: r.Bytes(maxLeaf), ResultKind: ResultKind(r.U8()), Result: r.Bytes(maxResult), Explanation: r.Text(maxExplain)}
		if it.ResultKind > ResultWallet {
			r.Fail("result kind %d", it.ResultKind)
		}
		items = append(items, it)
	}
	return signed, items, r.Close()
}

// EncodeProvision returns the payload of a provision frame.
func EncodeProvision(genesis []byte) []byte {
	return canon.NewWriter("", 4+len(genesis)).Bytes(genesis).MustRecord()
}

// DecodeProvision reads the payload of a provision frame.
func DecodeProvision(p []byte) ([]byte, error) {
	r := canon.NewReader("", p)
	b := r.Bytes(MaxObject)
	return b, r.Close()
}

// EncodeProvisionReply returns the payload of a provision reply.
func EncodeProvisionReply(state []byte) []byte { return EncodeProvision(state) }

// DecodeProvisionReply reads the payload of a provision reply.
func DecodeProvisionReply(p []byte) ([]byte, error) {
	r := canon.NewReader("", p)
	b := r.Bytes(maxState)
	return b, r.Close()
}

// RemoteError is a refusal by the workload that has no receipt: the request
// couldn't be attributed to a credential, or objects are missing.
type RemoteError struct {
	Code    string     // stable, see docs/ERRORS.md
	Message string     // for people
	Missing [][32]byte // digests of objects to put before trying again
}

// Error implements error.
func (e *RemoteError) Error() string { return e.Code + ": " + e.Message }

// Encode returns the payload of an error frame; over-long texts are cut.
func (e *RemoteError) Encode() []byte {
	missing := e.Missing[:min(len(e.Missing), maxMissing)]
	return canon.NewWriter("", 128).Text(cut(e.Code, maxCode)).Text(cut(e.Message, maxExplain)).Hashes(missing).MustRecord()
}

// DecodeRemoteError reads the payload of an error frame.
func DecodeRemoteError(p []byte) (*RemoteError, error) {
	r := canon.NewReader("", p)
	e := &RemoteError{Code: r.Text(maxCode), Message: r.Text(maxExplain), Missing: r.Hashes(maxMissing)}
	return e, r.Close()
}

// cut shortens s to at most max bytes and keeps it valid UTF-8.
func cut(s string, max int) string {
	s = string([]rune(s)) // invalid bytes become U+FFFD
	for len(s) > max {
		r := []rune(s)
		s = string(r[:len(r)-1-(len(s)-max)/4])
	}
	return s
}
