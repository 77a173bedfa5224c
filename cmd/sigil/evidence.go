package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/attest"
	"github.com/sigilkeys/sigil/attest/confspace"
	"github.com/sigilkeys/sigil/internal/canon"
)

// evidenceInput is what a file of evidence holds. Nothing of it is verified.
type evidenceInput struct {
	attest.Evidence                     // Statement is empty for a token alone
	archive         *confspace.Archive  // nil unless the file is one
	proof           *api.ChallengeProof // nil unless the file is an answer to a challenge
}

// parseEvidence takes what people have at hand: a token, {statement, token},
// whatever holds that as its member "evidence" (the service's answer with or
// without its envelope, the output of `sigil attestation --json`, a receipt's
// bundle), and an archive. Other members of what is around the evidence say
// nothing that is believed; within it they are refused.
func parseEvidence(data []byte) (*evidenceInput, error) {
	text := bytes.TrimSpace(data)
	switch {
	case len(text) == 0:
		return nil, errors.New("no evidence in it")
	case text[0] != '{':
		return &evidenceInput{Evidence: attest.Evidence{Token: string(text)}}, nil
	}
	var shape evidenceShape
	if err := json.Unmarshal(text, &shape); err != nil {
		return nil, err
	}
	if shape.Format == confspace.FormatArchive {
		archive, err := confspace.ParseArchive(text)
		if err != nil {
			return nil, err
		}
		return &evidenceInput{Evidence: archive.Evidence, archive: archive}, nil
	}
	if shape.Data.Kind() == '{' && shape.Evidence == nil {
		text = shape.Data
		if err := json.Unmarshal(text, &shape); err != nil {
			return nil, err
		}
	}
	if shape.Evidence == nil {
		return decodeEvidence(text)
	}
	in, err := decodeEvidence(shape.Evidence)
	if err != nil {
		return nil, err
	}
	in.proof, err = shape.proof()
	return in, err
}

// evidenceShape is what may stand around evidence.
type evidenceShape struct {
	Format    string         `json:"format"`
	Data      jsontext.Value `json:"data"`
	Evidence  jsontext.Value `json:"evidence"`
	Challenge jsontext.Value `json:"challenge"`

	// Beside a challenge that is no proof: what `sigil attestation` prints.
	Index uint32   `json:"index"`
	Count uint32   `json:"count"`
	Path  []string `json:"path"`
}

// proof is the path from the challenge, as the service or as the command
// prints it; nil where there is none.
func (s *evidenceShape) proof() (*api.ChallengeProof, error) {
	var p *api.ChallengeProof
	switch s.Challenge.Kind() {
	case jsontext.KindInvalid: // not there
		return nil, nil
	case jsontext.KindString:
		p = &api.ChallengeProof{Index: s.Index, Count: s.Count}
		for _, text := range s.Path {
			h, err := hex.DecodeString(text)
			if err != nil {
				return nil, fmt.Errorf("path: %w", err)
			}
			p.Path = append(p.Path, h)
		}
		return p, nil
	}
	if err := json.Unmarshal(s.Challenge, &p); err != nil {
		return nil, fmt.Errorf("challenge: %w", err)
	}
	return p, nil
}

func decodeEvidence(evidence []byte) (*evidenceInput, error) {
	var e struct {
		ID        string `json:"id"` // as the service shows it
		Statement []byte `json:"statement"`
		Token     string `json:"token"`
	}
	if err := canon.DecodeJSONLoose(evidence, &e); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	in := &evidenceInput{Evidence: attest.Evidence{Statement: e.Statement, Token: e.Token}}
	id := in.ID()
	switch {
	case e.Token == "":
		return nil, errors.New("evidence: the token is missing")
	case e.ID != "" && e.ID != digestText(id):
		return nil, errors.New("evidence: the id is of another statement")
	}
	return in, nil
}
