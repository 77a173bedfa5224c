package client

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/policy"
)

// TEE lists the reference values of one accepted TEE, as they stand in the
// genesis document (docs/FORMATS.md section 3.1).
type TEE = authority.TEE

// AdminKey is one of the owner's public keys.
type AdminKey = authority.Admin

// AdminConfig says whom to talk to and with which of the owner's keys.
type AdminConfig struct {
	BaseURL string
	// Keys sign documents. Grants need as many as the organisation's quorum;
	// the first one signs requests too. They stay in this process.
	Keys []ed25519.PrivateKey

	// As in Config.
	HTTPClient *http.Client
	Now        func() time.Time
	Random     io.Reader
	Sleep      func(context.Context, time.Duration) error
}

// Admin does what an organisation's owner does. All documents are made and
// signed here; the service gets public keys and signatures alone.
type Admin struct {
	t        *transport
	keys     []ed25519.PrivateKey
	evidence *evidenceCache
}

// NewAdmin checks the configuration. Nothing is sent before the first call.
func NewAdmin(cfg AdminConfig) (*Admin, error) {
	t, err := newTransport(cfg.BaseURL, cfg.HTTPClient, cfg.Now, cfg.Random, cfg.Sleep)
	if err != nil {
		return nil, err
	}
	if len(cfg.Keys) == 0 {
		return nil, badArgument("Keys", "an admin key is needed")
	}
	for _, k := range cfg.Keys {
		if len(k) != ed25519.PrivateKeySize {
			return nil, badArgument("Keys", "not an Ed25519 private key")
		}
	}
	return &Admin{t: t, keys: slices.Clone(cfg.Keys), evidence: newEvidenceCache(t)}, nil
}

// NewOrganization describes an organisation to be made.
type NewOrganization struct {
	Name   string
	Admins []AdminKey // all admins, the own keys among them
	Quorum int
	TEEs   []TEE
}

// OwnedOrganization is what an owner keeps of an organisation. It holds no
// secret; that it isn't altered matters.
type OwnedOrganization struct {
	ID            string
	Name          string
	Genesis       []byte // DSSE envelope
	GenesisDigest [32]byte
	StateKey      [32]byte // verified: made by an accepted workload
	StateRecord   []byte   // sealed; for the archive
	Attested      Attested // of the instance that made the state key
}

// CreateOrganization makes and signs the genesis document, registers it, and
// verifies that the state key comes from a TEE that the document accepts,
// before anything is done with it.
func (a *Admin) CreateOrganization(ctx context.Context, n NewOrganization) (*OwnedOrganization, error) {
	id, err := canon.NewUUID(a.t.random)
	if err != nil {
		return nil, err
	}
	envelope, err := authority.SignEnvelope(authority.TypeGenesis, &authority.Genesis{
		Format: authority.FormatGenesis, OrganizationID: id, Name: n.Name, Created: a.t.now().Unix(), Version: 1,
		Admins: n.Admins, Quorum: n.Quorum, Freshness: authority.Freshness{Mode: authority.FreshnessUnwitnessed}, TEEs: n.TEEs,
	}, a.keys...)
	if err != nil {
		return nil, err
	}
	g, err := authority.VerifyGenesis(envelope)
	if err != nil {
		return nil, badArgument("organization", "%v", err)
	}
	var reply api.Organization
	_, err = a.t.exchange(ctx, nil, "POST", "/v1/orgs", "", api.CreateOrganization{Genesis: envelope}, &reply)
	if already(err, api.CodeOrganizationExists) {
		// An attempt whose answer was lost: the id is fresh, so it is ours.
		return a.LoadOrganization(ctx, envelope)
	}
	if err != nil {
		return nil, err
	}
	return a.own(ctx, g, &reply)
}

func already(err error, code api.Code) bool {
	var e *APIError
	return errors.As(err, &e) && e.Code == code
}

// LoadOrganization fetches what the service has of an organisation whose
// genesis envelope the caller kept, and verifies it.
func (a *Admin) LoadOrganization(ctx context.Context, genesis []byte) (*OwnedOrganization, error) {
	g, err := verifyGenesis(genesis)
	if err != nil {
		return nil, err
	}
	var reply api.Organization
	if _, err := a.t.exchange(ctx, a.keys[0], "GET", orgPath(g), "", nil, &reply); err != nil {
		return nil, err
	}
	return a.own(ctx, g, &reply)
}

// own verifies a reply about the organisation of a genesis that is known.
func (a *Admin) own(ctx context.Context, g *authority.VerifiedGenesis, reply *api.Organization) (*OwnedOrganization, error) {
	want, err := statementOf(reply.StateRecord)
	if err != nil {
		return nil, err
	}
	ev := evidenceOf(reply.Evidence)
	if ev.ID() != want {
		if ev, err = a.evidence.get(ctx, want); err != nil {
			return nil, err
		}
	}
	state, err := checkState(g, reply.StateRecord, ev)
	if err != nil {
		return nil, err
	}
	attested, err := checkEvidence(g, ev, state.Release, micros(state.Created))
	if err != nil {
		return nil, err
	}
	if reply.ID != g.OrganizationID.String() {
		return nil, mismatch(CodeResponseMismatch, "organization_id", "another organisation than was asked for")
	}
	return &OwnedOrganization{ID: reply.ID, Name: g.Name, Genesis: g.Envelope, GenesisDigest: g.Digest,
		StateKey: state.StateKey, StateRecord: reply.StateRecord, Attested: *attested}, nil
}

// Acceptance names something that the workload can't explain (docs/FORMATS.md).
type Acceptance = policy.Acceptance

// NewKey describes a secret key to be made. Empty lists allow nothing; "*"
// alone means all.
type NewKey struct {
	Name      string
	Wallets   []string
	Networks  []string
	Methods   []string
	Accept    []Acceptance // what nobody can explain and may be signed all the same
	NotBefore time.Time    // zero: now
	Expires   time.Time
	// Bearer allows presenting the token itself, which passes through the
	// control plane in clear. For at most 31 days and named wallets.
	Bearer bool
	// Scope is "full" ("" too) or "read". A key to read has empty lists.
	Scope string
	// AllowIPs are networks in CIDR notation that the control plane takes
	// requests from; none: any. The workload can't see addresses, so this
	// binds an honest control plane alone.
	AllowIPs []string
}

// CreatedKey is a new secret key. Token is the only copy.
type CreatedKey struct {
	token       *authority.Token
	KeyID       string
	GrantID     string
	GrantDigest [32]byte
	Grant       []byte // DSSE envelope
	Expires     time.Time
}

// Reveal returns the sk_live_ token.
func (k *CreatedKey) Reveal() string { return k.token.Reveal() }

// CreateKey makes a secret key and its grant here and registers the grant.
// g and stateKey are those of the organisation as the owner keeps it. save,
// if not nil, is called with the key before it is registered, so that no
// right is given to a key that got lost.
func (a *Admin) CreateKey(ctx context.Context, genesis []byte, stateKey [32]byte, n NewKey, save func(*CreatedKey) error) (*CreatedKey, error) {
	g, err := verifyGenesis(genesis)
	if err != nil {
		return nil, err
	}
	if stateKey == [32]byte{} {
		return nil, badArgument("stateKey", "not given: load the organisation first")
	}
	k, err := a.makeKey(g, stateKey, n)
	if err != nil {
		return nil, err
	}
	if save != nil {
		if err := save(k); err != nil {
			return nil, err
		}
	}
	var reply api.Key
	_, err = a.t.exchange(ctx, a.keys[0], "POST", orgPath(g)+"/api-keys", "", api.CreateKey{Grant: k.Grant}, &reply)
	if err != nil && !already(err, api.CodeKeyExists) { // fresh key: it is ours
		return nil, err
	}
	return k, nil
}

func orgPath(g *authority.VerifiedGenesis) string { return "/v1/orgs/" + g.OrganizationID.String() }

func (a *Admin) makeKey(g *authority.VerifiedGenesis, stateKey [32]byte, n NewKey) (*CreatedKey, error) {
	token, err := authority.NewToken(authority.SecretKey, g.Digest, a.t.random)
	if err != nil {
		return nil, err
	}
	id, err := canon.NewUUID(a.t.random)
	if err != nil {
		return nil, err
	}
	if n.NotBefore.IsZero() {
		n.NotBefore = a.t.now()
	}
	public := token.PublicKey()
	doc := authority.Grant{
		OrganizationID: g.OrganizationID, Genesis: hex.EncodeToString(g.Digest[:]),
		StateKey: hex.EncodeToString(stateKey[:]), GrantID: id, Name: n.Name, Credential: hex.EncodeToString(public[:]),
		Bearer: n.Bearer, NotBefore: n.NotBefore.Unix(), Expires: n.Expires.Unix(),
		Scope: authority.Scope(n.Scope), AllowIPs: n.AllowIPs,
	}
	doc.Policy = policy.Policy{Wallets: n.Wallets, Networks: n.Networks, Methods: n.Methods, Accept: n.Accept}
	envelope, err := authority.SignGrant(doc, a.keys...)
	if err != nil {
		return nil, err
	}
	v, err := authority.VerifyGrant(envelope, g)
	if err != nil {
		return nil, badArgument("key", "%v", err)
	}
	return &CreatedKey{token: token, KeyID: authority.KeyID(public), GrantID: id.String(), GrantDigest: v.Digest,
		Grant: envelope, Expires: time.Unix(v.Expires, 0).UTC()}, nil
}

// Keys returns the organisation's keys as the service lists them.
func (a *Admin) Keys(ctx context.Context, genesis []byte) ([]api.Key, error) {
	g, err := verifyGenesis(genesis)
	if err != nil {
		return nil, err
	}
	all := []api.Key{}
	for {
		query, err := pageQuery(200, len(all), nil)
		if err != nil {
			return nil, err
		}
		var page api.List[api.Key]
		if _, err := a.t.exchange(ctx, a.keys[0], "GET", orgPath(g)+"/api-keys", query, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if len(page.Items) == 0 || len(all) >= page.Total {
			return all, nil
		}
	}
}

// Revoke ends a grant, which its digest names. The caller should take the
// digest from a grant of its own: a service that lists another one would have
// the wrong key revoked.
func (a *Admin) Revoke(ctx context.Context, genesis []byte, grant [32]byte, reason string) error {
	g, err := verifyGenesis(genesis)
	if err != nil {
		return err
	}
	envelope, err := authority.SignEnvelope(authority.TypeRevocation, &authority.Revocation{
		Format: authority.FormatRevocation, OrganizationID: g.OrganizationID, Genesis: hex.EncodeToString(g.Digest[:]),
		Grant: hex.EncodeToString(grant[:]), RevokedAt: a.t.now().Unix(), Reason: reason,
	}, a.keys[0])
	if err != nil {
		return err
	}
	if _, err := authority.VerifyRevocation(envelope, g); err != nil {
		return badArgument("revocation", "%v", err)
	}
	var reply json.RawMessage
	_, err = a.t.exchange(ctx, a.keys[0], "POST", orgPath(g)+"/revocations", "", api.CreateRevocation{Revocation: envelope}, &reply)
	return err
}

// GrantDigest returns the digest of a grant envelope after verifying it under
// the genesis.
func GrantDigest(grant, genesis []byte) ([32]byte, error) {
	g, err := verifyGenesis(genesis)
	if err != nil {
		return [32]byte{}, err
	}
	v, err := verifyGrant(grant, g)
	if err != nil {
		return [32]byte{}, err
	}
	return v.Digest, nil
}

// GenesisDigest returns the digest of a genesis envelope, and its document's
// organisation and name, after verifying its signatures.
func GenesisDigest(genesis []byte) (digest [32]byte, organization, name string, err error) {
	g, err := verifyGenesis(genesis)
	if err != nil {
		return [32]byte{}, "", "", err
	}
	return g.Digest, g.OrganizationID.String(), g.Name, nil
}

// GenesisTEEs returns the TEEs that a genesis envelope's document accepts and
// its digest, after verifying its signatures. Whether it is the organisation's
// genesis, the digest says to who has it from elsewhere.
func GenesisTEEs(genesis []byte) (digest [32]byte, tees []TEE, err error) {
	g, err := verifyGenesis(genesis)
	if err != nil {
		return [32]byte{}, nil, err
	}
	return g.Digest, g.TEEs, nil
}
