// Package org holds the administrative use cases: organisations, API keys and
// their revocation. Every change is a document that the owner signed on their
// own machine; this package verifies it, stores it and relays it to the TEE,
// which verifies it again.
package org

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/authority"
	"github.com/sigilkeys/sigil/internal/canon"
	"github.com/sigilkeys/sigil/internal/signing"
	"github.com/sigilkeys/sigil/internal/store"
	"github.com/sigilkeys/sigil/internal/teelink"
	"github.com/sigilkeys/sigil/receipt"
)

// Service carries out administrative requests.
type Service struct {
	Store   store.Store
	Fleet   *signing.Fleet
	Signing *signing.Service
	Now     func() time.Time
	// Open lets anybody create an organisation.
	Open bool
}

func refuse(code api.Code, format string, args ...any) error {
	return &signing.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// document maps an error of package authority.
func document(err error) error {
	var e *authority.Error
	if errors.As(err, &e) {
		return &signing.Error{Code: api.Code(e.Code), Message: e.Message}
	}
	return err
}

// Claim is told whose document was verified, before anything is changed; an
// error ends the work on it.
type Claim = func(org canon.UUID) error

// Create provisions an organisation: the TEE makes its state key. The reply
// proves which instance made it; the owner checks that before any grant.
func (s *Service) Create(ctx context.Context, genesis []byte, claim Claim) (*store.Organization, error) {
	if !s.Open {
		return nil, refuse(api.CodeRegistrationClosed, "this deployment doesn't take new organisations")
	}
	g, err := authority.VerifyGenesis(genesis)
	if err != nil {
		return nil, document(err)
	}
	old, err := s.Store.Organization(ctx, g.OrganizationID)
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	case err == nil && old.Digest != g.Digest: // maybe a stranger's
		return nil, refuse(api.CodeOrganizationExists, "the organisation %s exists with another genesis", g.OrganizationID)
	}
	if err := claim(g.OrganizationID); err != nil {
		return nil, err
	}
	if old != nil {
		return old, nil // the same again
	}
	state, err := s.Fleet.Provision(ctx, genesis)
	var refused *teelink.RemoteError
	if errors.As(err, &refused) {
		return nil, &signing.Error{Code: api.Code(refused.Code), Message: refused.Message}
	}
	if errors.Is(err, signing.ErrUnavailable) {
		return nil, refuse(api.CodeTEEUnavailable, "no TEE workload is connected")
	}
	if err != nil {
		return nil, refuse(api.CodeTEEUnavailable, "the TEE didn't answer: %v", err)
	}
	if err := s.verifyState(ctx, g, state); err != nil {
		return nil, err
	}
	o := &store.Organization{ID: g.OrganizationID, Genesis: genesis, Digest: g.Digest, State: state, Created: s.Now().UTC().Truncate(time.Microsecond)}
	err = s.Store.CreateOrganization(ctx, o)
	if errors.Is(err, store.ErrExists) {
		// The same request may have been at it twice; the first one stands.
		if old, lookErr := s.Store.Organization(ctx, o.ID); lookErr == nil && old.Digest == o.Digest {
			return old, nil
		}
		return nil, refuse(api.CodeOrganizationExists, "the organisation %s exists", g.OrganizationID)
	}
	if err != nil {
		return nil, refuse(api.CodeStoreUnavailable, "the organisation couldn't be stored; send the same request again")
	}
	return o, nil
}

// verifyState requires that an instance with evidence made the state key for this
// organisation: what is stored now is there for good.
func (s *Service) verifyState(ctx context.Context, g *authority.VerifiedGenesis, state []byte) error {
	unfit := func(err error) error {
		return refuse(api.CodeTEEUnavailable, "the TEE's answer doesn't verify, and nothing was stored: %v", err)
	}
	r, err := receipt.DecodeStateRecord(state)
	if err != nil {
		return unfit(err)
	}
	cert, err := receipt.StateCertificateOf(state)
	if err != nil {
		return unfit(err)
	}
	e, err := s.Store.Evidence(ctx, cert.Statement)
	if errors.Is(err, store.ErrNotFound) {
		return unfit(errors.New("it is of an instance without evidence"))
	}
	if err != nil {
		return refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	st, err := receipt.DecodeStatement(e.Statement)
	if err == nil {
		_, err = receipt.OpenStateCertificate(r.Certificate, st.InstanceKey)
	}
	if err == nil && (cert.Organization != g.OrganizationID || cert.Genesis != g.Digest) {
		err = errors.New("it was made for another organisation")
	}
	if err != nil {
		return unfit(err)
	}
	return nil
}

// Get finds an organisation.
func (s *Service) Get(ctx context.Context, id canon.UUID) (*store.Organization, error) {
	o, err := s.Store.Organization(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(api.CodeOrganizationNotFound, "there is no organisation %s", id)
	}
	if err != nil {
		return nil, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	return o, nil
}

// StateEvidence returns the evidence of the instance that made the state key.
func (s *Service) StateEvidence(ctx context.Context, o *store.Organization) (*store.Evidence, error) {
	cert, err := stateCertificate(o)
	if err != nil {
		return nil, err
	}
	e, err := s.Store.Evidence(ctx, cert.Statement)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("evidence of the state key: %w", err)
	}
	if err != nil {
		return nil, refuse(api.CodeStoreUnavailable, "the database doesn't answer")
	}
	return e, nil
}

func stateCertificate(o *store.Organization) (*receipt.StateCertificate, error) {
	cert, err := receipt.StateCertificateOf(o.State)
	if err != nil {
		return nil, fmt.Errorf("stored state record: %w", err)
	}
	return cert, nil
}

// CreateKey stores a grant.
func (s *Service) CreateKey(ctx context.Context, id canon.UUID, grant []byte, claim Claim) (*store.Grant, error) {
	o, g, err := s.verified(ctx, id, grant)
	if err != nil {
		return nil, err
	}
	v, err := authority.VerifyGrant(grant, g)
	if err != nil {
		return nil, document(err)
	}
	if err := claim(o.ID); err != nil {
		return nil, err
	}
	cert, err := stateCertificate(o)
	if err != nil {
		return nil, err
	}
	if v.StateKey != cert.StateKey {
		return nil, refuse(api.CodeDocumentInvalid, "the grant accepts another state key than the organisation has: it could never be used")
	}
	row := &store.Grant{Organization: o.ID, ID: v.GrantID, KeyID: authority.KeyID(v.Credential), Digest: v.Digest, Envelope: grant,
		Created: s.Now().UTC().Truncate(time.Microsecond)}
	err = s.Store.CreateGrant(ctx, row)
	if errors.Is(err, store.ErrExists) {
		old, lookErr := s.Store.GrantByKeyID(ctx, row.KeyID)
		if lookErr == nil && old.Digest == row.Digest && old.Organization == row.Organization {
			return old, nil // the same again
		}
		return nil, refuse(api.CodeKeyExists, "a grant with this id or credential exists")
	}
	if err != nil {
		return nil, refuse(api.CodeStoreUnavailable, "the grant couldn't be stored; send the same request again")
	}
	return row, nil
}

// verified finds the organisation that a document is sent for. One that the
// document doesn't name looks as if it weren't there: who may not write to an
// organisation can't ask whether it exists.
func (s *Service) verified(ctx context.Context, id canon.UUID, envelope []byte) (*store.Organization, *authority.VerifiedGenesis, error) {
	named, err := authority.GenesisOf(envelope)
	if err != nil {
		return nil, nil, document(err)
	}
	o, err := s.Get(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if o.Digest != named {
		return nil, nil, refuse(api.CodeOrganizationNotFound, "there is no organisation %s", id)
	}
	g, err := authority.VerifyGenesis(o.Genesis)
	if err != nil {
		return nil, nil, fmt.Errorf("stored genesis: %w", err)
	}
	return o, g, nil
}

// Revoke stores a revocation and tells the TEE before it is acknowledged. If
// no TEE is connected, the next one is told before it serves.
func (s *Service) Revoke(ctx context.Context, id canon.UUID, envelope []byte, claim Claim) error {
	o, g, err := s.verified(ctx, id, envelope)
	if err != nil {
		return err
	}
	v, err := authority.VerifyRevocation(envelope, g)
	if err != nil {
		return document(err)
	}
	if err := claim(o.ID); err != nil {
		return err
	}
	err = s.Store.Revoke(ctx, &store.Revocation{Organization: o.ID, Grant: v.Grant, Envelope: envelope, At: s.Now()})
	if errors.Is(err, store.ErrNotFound) {
		return refuse(api.CodeGrantNotFound, "the organisation has no such grant")
	}
	if err != nil {
		return refuse(api.CodeStoreUnavailable, "the revocation couldn't be stored; send the same request again")
	}
	s.Signing.ForgetGrant(v.Grant)
	if err := s.Fleet.Revoked(ctx, o.Genesis, envelope); err != nil {
		return refuse(api.CodeTEEUnavailable, "the revocation is stored, but the TEE didn't confirm it; send the same request again")
	}
	return nil
}
