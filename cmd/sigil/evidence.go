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
	var shape struct {
		Format    string         `json:"format"`
		Data      jsontext.Value `json:"data"`
		Evidence  jsontext.Value `json:"evidence"`
		Challenge jsontext.Value `json:"challenge"`

		// Beside a challenge that is no proof: what `sigil attestation` prints.
		Index uint32   `json:"index"`
		Count uint32   `json:"count"`
		Path  []string `json:"path"`
	}
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
	if shape.Challenge.Kind() == '"' {
		proof := api.ChallengeProof{Index: shape.Index, Count: shape.Count, Path: [][]byte{}}
		for _, text := range shape.Path {
			h, err := hex.DecodeString(text)
			if err != nil {
				return nil, fmt.Errorf("path: %w", err)
			}
			proof.Path = append(proof.Path, h)
		}
		var err error
		if shape.Challenge, err = json.Marshal(proof); err != nil {
			return nil, err
		}
	}
	if shape.Evidence != nil {
		return decodeEvidence(shape.Evidence, shape.Challenge)
	}
	return decodeEvidence(text, nil)
}

func decodeEvidence(evidence, challenge []byte) (*evidenceInput, error) {
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
	case e.ID != "" && e.ID != hex.EncodeToString(id[:]):
		return nil, errors.New("evidence: the id is of another statement")
	}
	if challenge != nil {
		if err := json.Unmarshal(challenge, &in.proof); err != nil {
			return nil, fmt.Errorf("challenge: %w", err)
		}
	}
	return in, nil
}
