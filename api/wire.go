package api

import (
	"encoding/json"
	"time"
)

// Error is the error part of a reply.
type Error struct {
	Code    Code            `json:"code"`
	Message string          `json:"message"`
	Details json.RawMessage `json:"details,omitempty"`
}

// Envelope wraps every reply: exactly one of Data and Error is not null.
type Envelope struct {
	Data  json.RawMessage `json:"data"`
	Error *Error          `json:"error"`
}

// Evidence proves an instance: a statement and the token that vouches for it.
type Evidence struct {
	ID        string `json:"id"`        // digest of the statement, hex
	Statement []byte `json:"statement"` // base64
	Token     string `json:"token"`     // JWT
}

// ReceiptRef names a receipt and carries its proof.
type ReceiptRef struct {
	ID       string `json:"id"`
	Proof    []byte `json:"proof"`    // receipt, base64
	Evidence string `json:"evidence"` // id of the evidence of its instance
}

// Signature is the reply to a sign request.
type Signature struct {
	Signature string     `json:"signature"`
	WalletID  string     `json:"wallet_id"`
	Network   string     `json:"network"`
	Address   string     `json:"address"`
	PublicKey string     `json:"public_key"` // hex
	Receipt   ReceiptRef `json:"receipt"`

	// Intent is what all but a message was decoded to: the very JSON whose
	// SHA-256 is the receipt's intent digest.
	Intent json.RawMessage `json:"intent,omitempty"`

	// Of a transaction alone: with the signature in it, and what the network
	// calls it, where that hangs on no other signature.
	SignedTransaction string `json:"signed_transaction,omitempty"`
	TransactionHash   string `json:"transaction_hash,omitempty"`
	// SignedPSBT is a Bitcoin transaction with the signatures beside it
	// (BIP-174, base64), for others to add theirs.
	SignedPSBT string `json:"signed_psbt,omitempty"`
}

// Decoded says what a payload does, for a person to read: the control plane's
// word, as long as no receipt has the intent's digest.
type Decoded struct {
	WalletID  string `json:"wallet_id"`
	Network   string `json:"network"`
	Address   string `json:"address"`
	PublicKey string `json:"public_key"` // hex

	// Intent and its SHA-256 in hex, as a receipt names it.
	Intent       json.RawMessage `json:"intent"`
	IntentDigest string          `json:"intent_digest"`
	// Summary has a sentence for each action, and one for the fee.
	Summary []string      `json:"summary"`
	Flags   []FlagMeaning `json:"flags"`
	// Accept is what a key's policy must name, all of it, for the payload to
	// be signed; Refused is what no policy can.
	Accept  []json.RawMessage `json:"accept"`
	Refused []string          `json:"refused"`
}

// FlagMeaning spells out what deserves a second look.
type FlagMeaning struct {
	Flag string `json:"flag"`
	Says string `json:"says"`
}

// Wallet is a wallet as it is listed. Clients verify Certificate and derive
// addresses from it by themselves.
type Wallet struct {
	ID          string            `json:"id"`
	Label       string            `json:"label"`
	Status      string            `json:"status"`      // active, archived
	Addresses   map[string]string `json:"addresses"`   // by network
	PublicKeys  map[string]string `json:"public_keys"` // by curve, hex
	Certificate []byte            `json:"certificate"` // base64
	CreatedAt   time.Time         `json:"created_at"`
	ArchivedAt  *time.Time        `json:"archived_at,omitempty"`
	Receipt     *ReceiptRef       `json:"receipt,omitempty"` // of its creation
}

// ChangeWallet is the body of PATCH /v1/s2s/wallets/{id}; what is left out
// stays as it is.
type ChangeWallet struct {
	Label    *string `json:"label,omitempty"`
	Archived *bool   `json:"archived,omitempty"`
}

// Batch is the reply to a request with items: what became of each, in the
// order of the request.
type Batch struct {
	Items []BatchItem `json:"items"`
}

// BatchItem is what a request for the item alone would have been answered: a
// status, and data or an error.
type BatchItem struct {
	Status int `json:"status"`
	Envelope
}

// List is one page of items.
type List[T any] struct {
	Items  []T `json:"items"`
	Total  int `json:"total"`
	Limit  int `json:"limit"`
	Offset int `json:"offset"`
}

// Network is a registered network.
type Network struct {
	Slug    string `json:"slug"`
	Name    string `json:"name"`
	Family  string `json:"family"`
	Curve   string `json:"curve"`
	ChainID uint64 `json:"chain_id,omitempty"`
	Testnet bool   `json:"testnet"`
	// Payloads are the kinds that its wallets sign: message, transaction, …
	Payloads []string `json:"payloads"`
	// Symbol and Decimals are of the native asset.
	Symbol   string `json:"symbol,omitempty"`
	Decimals int    `json:"decimals,omitempty"`
	// Aliases are what else people call it; requests name the slug.
	Aliases []string `json:"aliases,omitempty"`
	// AlsoValidOn is the slug of a network on which its signatures are good.
	AlsoValidOn string `json:"also_valid_on,omitempty"`
	// AddressOf is the slug of the network whose address a wallet has here:
	// such networks aren't listed with wallets.
	AddressOf string `json:"address_of,omitempty"`
}

// CreateOrganization is the body of POST /v1/orgs.
type CreateOrganization struct {
	Genesis json.RawMessage `json:"genesis"` // DSSE envelope
}

// Organization describes an organisation.
type Organization struct {
	ID            string          `json:"organization_id"`
	Name          string          `json:"name"`
	Genesis       json.RawMessage `json:"genesis"`        // DSSE envelope
	GenesisDigest string          `json:"genesis_digest"` // hex
	StateRecord   []byte          `json:"state_record"`   // base64
	Evidence      Evidence        `json:"evidence"`       // of the instance that made the state key
	CreatedAt     time.Time       `json:"created_at"`
}

// CreateKey is the body of POST /v1/orgs/{id}/api-keys.
type CreateKey struct {
	Grant json.RawMessage `json:"grant"` // DSSE envelope
}

// Key is an API key as it is listed.
type Key struct {
	ID          string     `json:"id"` // grant id
	KeyID       string     `json:"key_id"`
	Name        string     `json:"name"`
	KeyPrefix   string     `json:"key_prefix"`
	Status      string     `json:"status"` // active, expired, revoked
	GrantDigest string     `json:"grant_digest"`
	Scope       string     `json:"scope"`     // full, read
	AllowIPs    []string   `json:"allow_ips"` // networks, or "*"
	CreatedAt   time.Time  `json:"created_at"`
	ExpiresAt   time.Time  `json:"expires_at"`
	RevokedAt   *time.Time `json:"revoked_at,omitempty"`
	LastUsedAt  *time.Time `json:"last_used_at,omitempty"` // lags a minute
}

// AuditEvent is one line of an organisation's audit trail.
type AuditEvent struct {
	ID             string    `json:"id"`
	Timestamp      time.Time `json:"timestamp"`
	OrganizationID string    `json:"organization_id"`
	EventType      string    `json:"event_type"` // message.signed, transaction.signed, typed_data.signed, authorization.signed, user_operation.signed, wallet.created, api_key.created, api_key.revoked, org.created
	Success        bool      `json:"success"`
	ErrorCode      string    `json:"error_code"`           // of a denial
	ActorType      string    `json:"actor_type"`           // api_key, admin
	ActorID        string    `json:"actor_id"`             // key id of an api_key
	KeyID          string    `json:"key_id,omitempty"`     // that asked, or that was created or revoked
	GrantID        string    `json:"grant_id,omitempty"`   // of a key that was created or revoked
	WalletID       string    `json:"wallet_id,omitempty"`  // of a decision
	Network        string    `json:"network,omitempty"`    // of a signature
	ReceiptID      string    `json:"receipt_id,omitempty"` // of a decision; it is the proof
}

// CreateRevocation is the body of POST /v1/orgs/{id}/revocations.
type CreateRevocation struct {
	Revocation json.RawMessage `json:"revocation"` // DSSE envelope
}

// Credential is what a key's holder needs to verify everything else: GET
// /v1/s2s/credential.
type Credential struct {
	Organization Organization    `json:"organization"`
	KeyID        string          `json:"key_id"`
	Grant        json.RawMessage `json:"grant"` // DSSE envelope
}

// Receipt is the reply of GET /v1/receipts/{id}.
type Receipt struct {
	ID       string          `json:"id"`
	Proof    []byte          `json:"proof"` // base64
	Evidence Evidence        `json:"evidence"`
	Leaf     json.RawMessage `json:"leaf"` // decoded, for people
}

// Attestation is the reply of GET /v1/attestation, with ?challenge=<64 hex
// digits> for evidence that was made after the challenge was drawn.
type Attestation struct {
	Evidence Evidence `json:"evidence"`
	Release  string   `json:"release"`
	Version  string   `json:"version"`

	// Challenge proves that the statement covers the request's challenge.
	Challenge *ChallengeProof `json:"challenge,omitempty"`
}

// ChallengeProof is the path from a challenge, leaf Index of Count, to the
// root in the statement (RFC 9162 section 2.1.3.2).
type ChallengeProof struct {
	Index uint32   `json:"index"`
	Count uint32   `json:"count"`
	Path  [][]byte `json:"path"` // 32 bytes each, in base64
}

// Checkpoint is the newest signed head of the organisation's ledger.
type Checkpoint struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Note   string `json:"note"` // signed note, docs/FORMATS.md section 7.4
}

// Inclusion proves that a receipt's leaf is entry Index of the first Size ones.
type Inclusion struct {
	Receipt string   `json:"receipt"`
	Index   uint64   `json:"index"`
	Size    uint64   `json:"size"`
	Path    [][]byte `json:"path"` // 32 bytes each, in base64
}

// Consistency proves that the ledger's first From leaves begin its first To.
type Consistency struct {
	From uint64   `json:"from"`
	To   uint64   `json:"to"`
	Path [][]byte `json:"path"` // 32 bytes each, in base64
}

// Tile holds up to 256 neighbouring hashes of the ledger's tree.
type Tile struct {
	Level  int    `json:"level"`
	Index  uint64 `json:"index"`
	Hashes []byte `json:"hashes"` // 32 bytes each, in base64
}

// Entries is a run of the ledger with what it takes to verify it.
type Entries struct {
	Items    []Entry                    `json:"items"`
	Grants   map[string]json.RawMessage `json:"grants"`   // DSSE envelopes, by digest
	Evidence map[string]Evidence        `json:"evidence"` // by id
	From     uint64                     `json:"from"`
	Size     uint64                     `json:"size"` // that the checkpoint covers
}

// Entry is one decision of the ledger.
type Entry struct {
	Index    uint64 `json:"index"`
	ID       string `json:"id"`       // of the receipt
	Proof    []byte `json:"proof"`    // receipt, base64
	Evidence string `json:"evidence"` // id
	Grant    string `json:"grant"`    // digest
}
