package backup

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/store/sqlrows"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// Report sums up a database that was verified.
type Report struct {
	Organizations []Organization `json:"organizations"`
	Decisions     uint64         `json:"decisions"`
	Last          time.Time      `json:"last_decision"` // by the TEE's clock; zero: none
}

// Organization is one organisation of a verified database.
type Organization struct {
	ID          string `json:"organization_id"`
	Name        string `json:"name"`
	Freshness   string `json:"freshness"`
	Grants      uint64 `json:"grants"`
	Revocations uint64 `json:"revocations"`
	Wallets     uint64 `json:"wallets"`
	Ledger      uint64 `json:"ledger_entries"`
	Noted       uint64 `json:"checkpoint"` // entries that the newest checkpoint covers
	Root        string `json:"root"`       // of all entries, hex
}

// checker verifies a database, inside one transaction.
type checker struct {
	ctx    context.Context
	r      sqlrows.SQL
	rows   *sqlrows.Rows
	opt    *Options
	report Report

	owners    map[canon.UUID]*owner
	instances map[[32]byte][32]byte // statement: instance key
}

// owner is what an organisation's rows are verified against.
type owner struct {
	id       canon.UUID
	genesis  *authority.VerifiedGenesis
	stateKey [32]byte
	sum      Organization
}

// check verifies everything that a database says: nothing in it is believed
// but each organisation's genesis, whose digest its owner and clients hold.
//
// Attestation tokens are left to clients and auditors: what they accept is
// theirs to say, and each of them checks.
func check(ctx context.Context, r sqlrows.SQL, opt *Options) (*Report, error) {
	c := &checker{ctx: ctx, r: r, rows: sqlrows.New(func(sqlrows.Scope) sqlrows.Reader { return sqlrows.Unscoped{SQL: r} }, nil, func(err error) error { return err }, func(text string) any { return []byte(text) }), opt: opt,
		owners: map[canon.UUID]*owner{}, instances: map[[32]byte][32]byte{}}
	for _, step := range []func() error{c.evidence, c.organizations, c.grants, c.revocations, c.wallets, c.batches, c.ledgers, c.nothingLeft} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &c.report, nil
}

// each gives f the rows of a query; f asks the database nothing.
func (c *checker) each(f func(row sqlrows.Scanner) error, query string, args ...any) error {
	rows, err := c.r.QueryContext(c.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for n := uint64(1); rows.Next(); n++ {
		if err := f(rows); err != nil {
			return err
		}
		if n%progress == 0 {
			c.opt.progress("rows verified", n)
		}
	}
	return rows.Err()
}

func (c *checker) evidence() error {
	return c.each(func(row sqlrows.Scanner) error {
		var id, statement []byte
		if err := row.Scan(&id, &statement); err != nil {
			return err
		}
		st, err := receipt.DecodeStatement(statement)
		if err != nil || st.Digest() != [32]byte(sized(id, 32)) {
			return invalid("evidence %x isn't its statement's: %v", id, err)
		}
		c.instances[st.Digest()] = st.InstanceKey
		return nil
	}, `SELECT id, statement FROM evidence`)
}

// sized makes a column that has another size one that equals nothing.
func sized(b []byte, n int) []byte {
	if len(b) != n {
		return make([]byte, n)
	}
	return b
}

func (c *checker) organizations() error {
	err := c.each(func(row sqlrows.Scanner) error {
		var id, genesis, digest, state []byte
		if err := row.Scan(&id, &genesis, &digest, &state); err != nil {
			return err
		}
		g, err := authority.VerifyGenesis(genesis)
		if err != nil {
			return invalid("genesis of organisation %x: %w", id, err)
		}
		o := &owner{id: sqlrows.UUID(id), genesis: g}
		if g.OrganizationID != o.id || g.Digest != [32]byte(sized(digest, 32)) {
			return invalid("organisation %s has another one's genesis", o.id)
		}
		if o.stateKey, err = c.stateKey(o, state); err != nil {
			return invalid("state key of organisation %s: %w", o.id, err)
		}
		o.sum = Organization{ID: o.id.String(), Name: g.Name, Freshness: string(g.Freshness.Mode)}
		c.owners[o.id] = o
		return nil
	}, `SELECT id, genesis, digest, state FROM organizations`)
	return err
}

// stateKey verifies that an instance with evidence made the key for this
// organisation.
func (c *checker) stateKey(o *owner, state []byte) ([32]byte, error) {
	r, err := receipt.DecodeStateRecord(state)
	if err != nil {
		return [32]byte{}, err
	}
	cert, _, _, err := receipt.DecodeStateCertificate(r.Certificate)
	if err != nil {
		return [32]byte{}, err
	}
	instance, has := c.instances[cert.Statement]
	if !has {
		return [32]byte{}, errors.New("the evidence of the instance that made it is missing")
	}
	if _, err := receipt.OpenStateCertificate(r.Certificate, instance); err != nil {
		return [32]byte{}, err
	}
	if cert.Organization != o.id || cert.Genesis != o.genesis.Digest {
		return [32]byte{}, errors.New("it was made for another organisation")
	}
	return cert.StateKey, nil
}

func (c *checker) owner(id []byte, what string, of []byte) (*owner, error) {
	o := c.owners[sqlrows.UUID(id)]
	if o == nil || len(id) != 16 {
		return nil, invalid("%s %x is of an organisation that isn't there", what, of)
	}
	return o, nil
}

func (c *checker) grants() error {
	return c.each(func(row sqlrows.Scanner) error {
		var digest, org, id, envelope []byte
		var keyID string
		var revoked, has int64
		if err := row.Scan(&digest, &org, &id, &keyID, &envelope, &revoked, &has); err != nil {
			return err
		}
		o, err := c.owner(org, "grant", digest)
		if err != nil {
			return err
		}
		g, err := authority.VerifyGrant(envelope, o.genesis)
		switch {
		case err != nil:
			return invalid("grant %x of organisation %s: %w", digest, o.id, err)
		case g.Digest != [32]byte(sized(digest, 32)) || g.GrantID != sqlrows.UUID(id) || authority.KeyID(g.Credential) != keyID || g.StateKey != o.stateKey:
			return invalid("grant %x of organisation %s isn't what its document says", digest, o.id)
		case (revoked != 0) != (has != 0):
			return invalid("grant %x of organisation %s and its revocation contradict each other", digest, o.id)
		}
		o.sum.Grants++
		return nil
	}, `SELECT g.digest, g.organization_id, g.id, g.key_id, g.envelope, g.revoked, (SELECT COUNT(*) FROM revocations r WHERE r.grant_digest = g.digest) FROM grants g`)
}

func (c *checker) revocations() error {
	return c.each(func(row sqlrows.Scanner) error {
		var grant, org, envelope []byte
		if err := row.Scan(&grant, &org, &envelope); err != nil {
			return err
		}
		o, err := c.owner(org, "revocation", grant)
		if err != nil {
			return err
		}
		v, err := authority.VerifyRevocation(envelope, o.genesis)
		if err != nil || v.Grant != [32]byte(sized(grant, 32)) {
			return invalid("revocation of grant %x of organisation %s: another grant's, or %v", grant, o.id, err)
		}
		o.sum.Revocations++
		return nil
	}, `SELECT grant_digest, organization_id, envelope FROM revocations`)
}

// wallets verifies that the state key signed for each wallet, and that a
// decision made it.
func (c *checker) wallets() error {
	return c.each(func(row sqlrows.Scanner) error {
		var id, org, record, leaf []byte
		if err := row.Scan(&id, &org, &record, &leaf); err != nil {
			return err
		}
		o, err := c.owner(org, "wallet", id)
		if err != nil {
			return err
		}
		wallet := sqlrows.UUID(id)
		r, err := receipt.DecodeWalletRecord(record)
		if err != nil {
			return invalid("wallet %s: %w", wallet, err)
		}
		cert, err := receipt.OpenWalletCertificate(r.Certificate)
		if err != nil {
			return invalid("wallet %s: %w", wallet, err)
		}
		if cert.Wallet != wallet || cert.Organization != o.id || cert.Genesis != o.genesis.Digest || cert.StateKey != o.stateKey || len(r.Shares) != 2*len(cert.Keys) {
			return invalid("wallet %s of organisation %s has another one's certificate", wallet, o.id)
		}
		l, err := receipt.DecodeLeaf(leaf)
		if err != nil || l.Kind != receipt.KindCreateWallet || l.Organization != o.id || l.Wallet != wallet {
			return invalid("wallet %s has no decision that made it: %v", wallet, err)
		}
		o.sum.Wallets++
		return nil
	}, `SELECT w.id, w.organization_id, w.record, d.leaf FROM wallets w LEFT JOIN decisions d ON d.id = w.receipt`)
}

// pageOf is how many rows are held in memory.
const pageOf = 512

type batch struct {
	row    int64
	hashes [][32]byte
}

// batches verifies each signed batch, and each decision in its batch.
func (c *checker) batches() error {
	for from := int64(-1 << 62); ; {
		var page []batch
		err := c.each(func(row sqlrows.Scanner) error {
			b, err := c.batch(row)
			page = append(page, b)
			return err
		}, `SELECT id, instance, number, signed, hashes FROM batches WHERE id > $1 ORDER BY id LIMIT $2`, from, pageOf)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := c.decisions(page); err != nil {
			return err
		}
		from = page[len(page)-1].row
		c.opt.progress("decisions verified", c.report.Decisions)
	}
}

func (c *checker) batch(row sqlrows.Scanner) (batch, error) {
	var b batch
	var number int64
	var instance, signed, hashes []byte
	if err := row.Scan(&b.row, &instance, &number, &signed, &hashes); err != nil {
		return b, err
	}
	s, err := receipt.OpenBatch(signed)
	if err != nil {
		return b, invalid("batch %d: %w", b.row, err)
	}
	for ; len(hashes) >= 32; hashes = hashes[32:] {
		b.hashes = append(b.hashes, [32]byte(hashes))
	}
	switch key, has := c.instances[s.Statement]; {
	case !has || key != s.InstanceKey:
		return b, invalid("batch %d: the evidence of the instance that signed it is missing", b.row)
	case s.InstanceKey != [32]byte(sized(instance, 32)) || s.Number != uint64(number) || len(hashes) != 0 || int(s.Count) != len(b.hashes) || receipt.NewTreeOfHashes(b.hashes).Root() != s.Root:
		return b, invalid("batch %d isn't what its instance signed", b.row)
	}
	return b, nil
}

func (c *checker) decisions(page []batch) error {
	at := 0
	return c.each(func(row sqlrows.Scanner) error {
		d, err := sqlrows.ScanDecision(row)
		if err != nil {
			return err
		}
		for at < len(page) && page[at].row < d.Batch {
			at++
		}
		if at == len(page) || page[at].row != d.Batch {
			return invalid("decision %s has no batch", d.ID)
		}
		if d.Index < 0 || d.Index >= len(page[at].hashes) || page[at].hashes[d.Index] != receipt.LeafHash(d.Leaf) {
			return invalid("decision %s isn't what the batch covers at its place", d.ID)
		}
		l, err := receipt.DecodeLeaf(d.Leaf)
		if err != nil {
			return invalid("decision %s: %w", d.ID, err)
		}
		return c.decision(d, l)
	}, `SELECT `+sqlrows.DecisionColumns+` FROM decisions WHERE batch >= $1 AND batch <= $2 ORDER BY batch, idx`, page[0].row, page[len(page)-1].row)
}

func (c *checker) decision(d *store.Decision, l *receipt.Leaf) error {
	o, err := c.owner(d.Organization[:], "decision", d.ID[:])
	if err != nil {
		return err
	}
	switch {
	case l.ID != d.ID || l.Organization != o.id || l.Genesis != o.genesis.Digest || authority.KeyID(l.Credential) != d.KeyID ||
		l.RequestID != d.RequestID || l.IdempotencyDigest != d.Idempotency:
		return invalid("decision %s isn't what its leaf says", d.ID)
	case d.ResultKind == uint8(teelink.ResultSignature) && sha256.Sum256(d.Result) != l.OutputDigest:
		return invalid("the signature of decision %s isn't the one that was released", d.ID)
	}
	c.report.Decisions++
	if at := time.UnixMicro(int64(l.Time)).UTC(); at.After(c.report.Last) {
		c.report.Last = at
	}
	return nil
}

// nothingLeft requires that no row is without the others that belong to it:
// nothing of half a transaction, and no row that was verified by nobody.
func (c *checker) nothingLeft() error {
	for _, q := range []struct {
		what, query string
		args        []any
	}{
		{"decisions without a batch", `SELECT COUNT(*) FROM decisions d WHERE NOT EXISTS (SELECT 1 FROM batches b WHERE b.id = d.batch)`, nil},
		{"decisions whose wallet is missing", `SELECT COUNT(*) FROM decisions d WHERE d.result_kind = $1 AND NOT EXISTS (SELECT 1 FROM wallets w WHERE w.receipt = d.id)`, []any{int64(teelink.ResultWallet)}},
		{"decisions that are in no ledger and wait for none", `SELECT COUNT(*) FROM decisions d WHERE NOT EXISTS (SELECT 1 FROM ledger_entries e WHERE e.receipt = d.id) AND NOT EXISTS (SELECT 1 FROM unfolded u WHERE u.batch = d.batch)`, nil},
		{"decisions that wait for the ledger that they are in", `SELECT COUNT(*) FROM decisions d JOIN unfolded u ON u.batch = d.batch JOIN ledger_entries e ON e.receipt = d.id`, nil},
		{"waiting batches that aren't there", `SELECT COUNT(*) FROM unfolded u WHERE NOT EXISTS (SELECT 1 FROM batches b WHERE b.id = u.batch)`, nil},
		{"entries of no ledger", `SELECT COUNT(*) FROM ledger_entries e WHERE NOT EXISTS (SELECT 1 FROM ledgers l WHERE l.organization_id = e.organization_id)`, nil},
		{"tiles of no ledger", `SELECT COUNT(*) FROM ledger_tiles t WHERE NOT EXISTS (SELECT 1 FROM ledgers l WHERE l.organization_id = t.organization_id)`, nil},
		{"ledgers of no organisation", `SELECT COUNT(*) FROM ledgers l WHERE NOT EXISTS (SELECT 1 FROM organizations o WHERE o.id = l.organization_id)`, nil},
	} {
		n, err := c.count(q.query, q.args...)
		if err != nil {
			return fmt.Errorf("%s: %w", q.what, err)
		}
		if n != 0 {
			return invalid("%d %s", n, q.what)
		}
	}
	return nil
}

func (c *checker) count(query string, args ...any) (n int64, err error) {
	err = c.r.QueryRowContext(c.ctx, query, args...).Scan(&n)
	return n, err
}

func unlessNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func hexed(d [32]byte) string { return hex.EncodeToString(d[:]) }
