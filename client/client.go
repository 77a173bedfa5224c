package client

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"io"
	"net/http"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/chain"
	"github.com/sigilkeys/sigil/internal/chain/evm"
	"github.com/sigilkeys/sigil/internal/networks"
	"github.com/sigilkeys/sigil/receipt"
)

// Config says whom to talk to and as whom. BaseURL and SecretKey are required.
type Config struct {
	// BaseURL of the service: scheme, host and port. Plain http is taken, as
	// no secret is sent and every answer is verified; what is signed is then
	// readable on the way.
	BaseURL string
	// SecretKey is the sk_live_ token. It stays in this process.
	SecretKey string
	// HTTPClient is used without following redirects; nil: one with a timeout
	// of 60 s.
	HTTPClient *http.Client
	// Networks are EVM networks besides the presets, by the names that the
	// workload's measured configuration gives them. GET /v1/networks shows
	// what the service says of them; the chain ids here are what is verified.
	Networks []EVMNetwork
	// Now, Random and Sleep replace the clock, the kernel's randomness and
	// the waiting between attempts, for tests.
	Now    func() time.Time
	Random io.Reader
	Sleep  func(context.Context, time.Duration) error
}

// EVMNetwork is an EVM network that is no preset.
type EVMNetwork = evm.Configured

// Client signs with the wallets of one organisation. It is safe for use from
// several goroutines.
type Client struct {
	t        *transport
	token    *authority.Token
	key      ed25519.PrivateKey
	networks *chain.Registry
	evidence *evidenceCache

	root  *lazy[struct{}, *root]
	certs *lazy[receipt.UUID, *receipt.WalletCertificate]
}

// New checks the configuration. Nothing is sent before the first call. The
// error is an *ArgumentError or says that the secret key is malformed, without
// any of it.
func New(cfg Config) (*Client, error) {
	t, err := newTransport(cfg.BaseURL, cfg.HTTPClient, cfg.Now, cfg.Random, cfg.Sleep)
	if err != nil {
		return nil, err
	}
	token, err := authority.ParseToken(cfg.SecretKey)
	if err != nil {
		return nil, badArgument("SecretKey", "%v", err)
	}
	if token.Kind() != authority.SecretKey {
		return nil, badArgument("SecretKey", "a secret key begins with %s", authority.SecretKey)
	}
	networks, err := networks.New(cfg.Networks...)
	if err != nil {
		return nil, err
	}
	c := &Client{t: t, token: token, key: token.RequestKey(), networks: networks, evidence: newEvidenceCache(t)}
	c.root = newLazy(1, func(ctx context.Context, _ struct{}) (*root, error) { return c.loadRoot(ctx) })
	c.certs = newLazy(maxCached, c.loadCertificate)
	return c, nil
}

// KeyID returns the id under which the service knows the key.
func (c *Client) KeyID() string { return authority.KeyID(c.token.PublicKey()) }

// loadRoot fetches the documents and goes from the pin to the state key.
func (c *Client) loadRoot(ctx context.Context) (*root, error) {
	var reply api.Credential
	if _, err := c.t.exchange(ctx, c.key, "GET", "/v1/s2s/credential", "", nil, &reply); err != nil {
		return nil, err
	}
	genesis, err := reEncode(reply.Organization.Genesis)
	if err != nil {
		return nil, broken(CodeGenesis, err, "genesis document")
	}
	grant, err := reEncode(reply.Grant)
	if err != nil {
		return nil, broken(CodeGrant, err, "grant")
	}
	r, err := openRoot(c.token, genesis, grant)
	if err != nil {
		return nil, err
	}
	ev := evidenceOf(reply.Organization.Evidence)
	state, err := checkState(r.genesis, reply.Organization.StateRecord, ev)
	if err != nil {
		return nil, err
	}
	if state.StateKey != r.grant.StateKey {
		return nil, broken(CodeStateCertificate, nil, "the grant names another state key")
	}
	c.evidence.put(ev)
	return r, nil
}

func (c *Client) trusted(ctx context.Context) (*root, error) { return c.root.get(ctx, struct{}{}) }

// Organization is what the secret key belongs to, verified.
type Organization struct {
	ID            string
	Name          string
	GenesisDigest string // hex
	Genesis       []byte // DSSE envelope
	Grant         []byte // DSSE envelope of the own key's grant
	StateKey      string // hex
}

// Organization returns the organisation and the grant of the own key.
func (c *Client) Organization(ctx context.Context) (*Organization, error) {
	r, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	return &Organization{
		ID: r.genesis.OrganizationID.String(), Name: r.genesis.Name, GenesisDigest: hex.EncodeToString(r.genesis.Digest[:]),
		Genesis: r.genesis.Envelope, Grant: r.grant.Envelope, StateKey: hex.EncodeToString(r.grant.StateKey[:]),
	}, nil
}
