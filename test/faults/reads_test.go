package faults

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
)

// asked is a deed that reads by the SDK, which verifies what it is told.
func asked[T any](s *scene, call func(context.Context, *client.Client) (T, error)) *deed {
	return &deed{first: true, ask: func(ctx context.Context) outcome { return answered(call(ctx, s.sdk())) }}
}

func credential(s *scene) *deed {
	d := asked(s, func(ctx context.Context, c *client.Client) (*client.Organization, error) { return c.Organization(ctx) })
	d.cold = true
	return d
}

func getWallet(s *scene) *deed {
	return asked(s, func(ctx context.Context, c *client.Client) (*client.Wallet, error) {
		return c.Wallets().Get(ctx, s.one.wallet.ID)
	})
}

// listWallets verifies each wallet; which there are is the control plane's word.
func listWallets(s *scene) *deed {
	d := asked(s, func(ctx context.Context, c *client.Client) (*client.WalletPage, error) {
		return c.Wallets().List(ctx, 5, 0)
	})
	d.unproved = true
	return d
}

func getReceipt(s *scene) *deed {
	return asked(s, func(ctx context.Context, c *client.Client) (*client.Receipt, error) {
		return c.Receipt(ctx, s.one.signed.Receipt.ID)
	})
}

// head fetches the signed head and proves that it extends the one before.
func head(s *scene) *deed {
	old, err := s.sdk().LedgerHead(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.fold()
	return asked(s, func(ctx context.Context, c *client.Client) (*client.LedgerHead, error) {
		h, err := c.LedgerHead(ctx)
		if err != nil {
			return nil, err
		}
		return h, c.Extends(ctx, h, old.Note)
	})
}

// fold signs once and has it taken into the ledger.
func (s *scene) fold() {
	s.t.Helper()
	s.Do(s.Request(s.one.token, "POST", "/v1/s2s/sign", s.signBody(s.one)), 200, nil)
	if err := s.round(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func included(s *scene) *deed {
	return asked(s, func(ctx context.Context, c *client.Client) (uint64, error) {
		h, err := c.LedgerHead(ctx)
		if err != nil {
			return 0, err
		}
		return c.Included(ctx, h, &client.Receipt{ID: s.one.signed.Receipt.ID, Proof: s.one.signed.Receipt.Proof})
	})
}

// export returns what the audit of a whole ledger found; which evidence comes
// along, beyond what that needs, nobody checks.
func export(s *scene) *deed {
	return asked(s, func(ctx context.Context, c *client.Client) (*client.AuditReport, error) {
		return c.ExportLedger(ctx, io.Discard, nil)
	})
}

func trail(s *scene) *deed {
	d := asked(s, func(ctx context.Context, c *client.Client) (*api.List[api.AuditEvent], error) {
		return c.Audit(ctx, client.AuditFilter{}, 5, 0)
	})
	d.unproved = true
	return d
}

func listKeys(s *scene) *deed {
	return &deed{first: true, unproved: true, ask: func(ctx context.Context) outcome {
		return answered(s.admin(s.one.owner.Admin).Keys(ctx, s.one.owner.Genesis.Envelope))
	}}
}

// admin returns an owner's client, which asks once.
func (s *scene) admin(key ed25519.PrivateKey) *client.Admin {
	a, err := client.NewAdmin(client.AdminConfig{BaseURL: s.API.URL, Keys: []ed25519.PrivateKey{key}, HTTPClient: &http.Client{Transport: s.wire}, Now: s.Now, Sleep: once})
	if err != nil {
		panic(err) // of arguments
	}
	return a
}

// archived has the SDK believe an answer from before, for which it fetches the
// archived evidence.
func archived(s *scene) *deed {
	p := s.sdkRequest("/v1/s2s/sign", signs(s.message(s.one)))
	answer := p.ask(s.t.Context())
	return &deed{first: true, cold: true, ask: func(ctx context.Context) outcome { return answered(answer.body, answer.judge(ctx)) }}
}

func ready(s *scene) *deed {
	return &deed{first: true, ask: func(ctx context.Context) outcome { return s.send(ctx, s.Request(s.one.token, "GET", "/readyz", "")) }}
}

// part is the outcome of what the control plane does by itself.
func part(err error) outcome {
	if err == nil {
		return outcome{code: "done", ok: true}
	}
	if out := failed(err); out.code != "error" {
		return out
	}
	return outcome{code: "not done", body: []byte(err.Error())}
}

// folded takes a decision into the ledger and has the head signed.
func folded(s *scene) *deed {
	var out api.Signature
	s.Do(s.Request(s.one.token, "POST", "/v1/s2s/sign", s.signBody(s.one)), 200, &out)
	return &deed{want: 1, inside: true, ask: func(ctx context.Context) outcome { return part(s.round(ctx)) },
		there: func(ctx context.Context) (int, error) {
			_, err := s.f.Store.EntryOf(ctx, s.one.org(), uuid(out.Receipt.ID))
			return row(err)
		},
		check: func(ctx context.Context, _ []byte) error {
			l, err := s.f.Store.Ledger(ctx, s.one.org())
			if err == nil && l.Noted != l.Size {
				err = fmt.Errorf("the head covers %d of %d entries", l.Noted, l.Size)
			}
			return err
		}}
}

// used writes when a key was used.
func used(s *scene) *deed {
	token := s.NewKey(s.one.owner, nil)
	keyID := authority.KeyID(token.PublicKey())
	return &deed{want: 1, inside: true, ask: func(ctx context.Context) outcome { s.Signing.Used(keyID); return part(s.Signing.FlushUses(ctx)) },
		there: func(ctx context.Context) (int, error) {
			list, _, err := s.f.Store.Grants(ctx, s.one.org(), store.Page{Limit: 1000})
			for i := range list {
				if list[i].KeyID == keyID && !list[i].Used.IsZero() {
					return 1, err
				}
			}
			return 0, err
		}}
}

// addressed lists a wallet under its addresses that an older program left
// without.
func addressed(s *scene) *deed {
	var w api.Wallet
	s.Do(s.Request(s.one.token, "POST", "/v1/s2s/wallets", `{}`), 201, &w)
	id := uuid(w.ID)
	s.at.alter(s.t, "DELETE FROM wallet_addresses WHERE wallet = "+s.at.bytes(id[:])+"; INSERT INTO unaddressed (wallet) VALUES ("+s.at.bytes(id[:])+")")
	return &deed{want: 1, inside: true, ask: func(ctx context.Context) outcome { return part(s.Signing.ListAddresses(ctx)) },
		there: func(ctx context.Context) (int, error) {
			list, _, err := s.f.Store.Wallets(ctx, s.one.org(), store.WalletFilter{Address: signing.AddressKey(w.Addresses["base"])}, store.Page{Limit: 10})
			return len(list), err
		}}
}

// older takes a batch into the audit trail that an older program left out.
func older(s *scene) *deed {
	s.fold()
	var batch, at int64
	var id []byte
	err := s.at.db.QueryRowContext(s.t.Context(), `SELECT a.id, a.at, d.batch FROM audit a JOIN decisions d ON d.id = a.id WHERE a.kind = 1 ORDER BY d.batch DESC LIMIT 1`).Scan(&id, &at, &batch)
	if err != nil {
		s.t.Fatal(err)
	}
	org := s.one.org()
	s.at.alter(s.t, fmt.Sprintf(`DELETE FROM audit WHERE id = %s; UPDATE audit_counts SET n = n - 1 WHERE organization_id = %s AND kind = 1 AND success = 1;
		INSERT INTO unaudited (batch) VALUES (%d)`, s.at.bytes(id), s.at.bytes(org[:]), batch))
	return &deed{want: 1, inside: true, ask: func(ctx context.Context) outcome { return part(auditOlder(ctx, s.Store)) },
		there: func(ctx context.Context) (n int, err error) {
			err = s.at.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM audit WHERE id = $1`, id).Scan(&n)
			return n, err
		}}
}

// auditOlder is what `sigil serve` does when it begins.
func auditOlder(ctx context.Context, st store.Store) error {
	for {
		n, err := st.AuditOlder(ctx, 100)
		if err != nil && !errors.Is(err, store.ErrExists) || n == 0 && err == nil {
			return err
		}
	}
}

// reconnected signs when the link to the TEE has broken and comes back.
func reconnected(s *scene) *deed {
	d := sign(s)
	ask := d.ask
	d.ask = func(ctx context.Context) outcome {
		if c, err := s.Link.Client(ctx); err == nil {
			c.Close()
		}
		return ask(ctx)
	}
	return d
}

// renewed signs with an instance whose evidence nobody has yet.
func renewed(s *scene) *deed {
	d := sign(s)
	ask, asked := d.ask, false
	d.ask = func(ctx context.Context) outcome {
		if !asked {
			asked = true
			if err := s.RestartWorkload(); err != nil {
				return part(err)
			}
		}
		return ask(ctx)
	}
	return d
}

// followed uses a key that another control plane over the same database has
// seen revoked.
func followed(s *scene) *deed {
	token, grant := s.SignGrant(s.one.owner, nil)
	s.Post("/v1/orgs/"+s.one.org().String()+"/api-keys", map[string]any{"grant": json.RawMessage(grant)}, 201, nil)
	s.Do(s.Request(token, "GET", "/v1/s2s/credential", ""), 200, nil)
	digest, err := client.GrantDigest(grant, s.one.owner.Genesis.Envelope)
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := signing.NewFollower(s.t.Context(), s.Store, s.Signing, s.Fleet, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	r := &store.Revocation{Organization: s.one.org(), Grant: digest, At: s.Now(), Envelope: s.SignRevocation(s.one.owner, digestOf(s.t, s.one.owner, grant))}
	if err := s.f.Store.Revoke(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
	return &deed{ask: func(ctx context.Context) outcome {
		ctx, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		running := make(chan struct{})
		go func() { defer close(running); f.Run(ctx) }()
		defer func() { stop(); <-running }()
		for ctx.Err() == nil {
			if out := s.send(ctx, s.Request(token, "GET", "/v1/s2s/credential", "")); !out.ok {
				return outcome{code: out.code, ok: out.code == "401 invalid_key"}
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		return failed(ctx.Err())
	}}
}
