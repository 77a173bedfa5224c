package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/client"
	"github.com/sigilkeys/sigil/internal/canon"
)

// acceptFlags say which TEE is accepted: a file, or the same one by one.
type acceptFlags struct {
	file string
	tee  client.TEE
}

// add declares the flags. Those for KMS keys are the caller's: evidence
// doesn't name them.
func (f *acceptFlags) add(c *cobra.Command) {
	fl := c.Flags()
	f.tee.Kind = "confidential-space"
	fl.StringVar(&f.file, "accept", "", "JSON file with the accepted TEE, or a list of up to 4")
	fl.StringVar(&f.tee.Issuer, "tee-issuer", "", "issuer of attestation tokens")
	fl.StringVar(&f.tee.PKIRoot, "tee-pki-root", "", "SHA-256 of the attestation root certificate, hex")
	fl.StringSliceVar(&f.tee.Hardware, "tee-hardware", nil, "accepted hardware models")
	fl.StringVar(&f.tee.ProjectID, "tee-project", "", "cloud project of the workload")
	fl.StringVar(&f.tee.ServiceAccount, "tee-service-account", "", "service account of the workload")
	fl.StringSliceVar(&f.tee.ImageDigests, "tee-image", nil, "accepted image digests, sha256:…")
}

func (f *acceptFlags) byFlag(c *cobra.Command) bool {
	byFlag := c.Flags().Changed("provider-kek")
	for _, n := range []string{"issuer", "pki-root", "hardware", "project", "service-account", "image", "kek"} {
		byFlag = byFlag || c.Flags().Changed("tee-"+n)
	}
	return byFlag
}

// accepted reads the TEE reference values.
func (f *acceptFlags) accepted(c *cobra.Command) ([]client.TEE, error) {
	byFlag := f.byFlag(c)
	switch {
	case f.file == "" && !byFlag:
		return nil, usagef("give --accept FILE or the --tee flags; nothing is accepted by default", "which TEE to accept isn't said")
	case f.file != "" && byFlag:
		return nil, usagef("use one of the two", "--accept and the --tee flags exclude one another")
	case byFlag:
		return []client.TEE{f.tee}, nil
	}
	data, err := read(f.file)
	if err != nil {
		return nil, err
	}
	return parseTEEs(data, f.file)
}

// parseTEEs reads one TEE or a list of them.
func parseTEEs(data []byte, name string) ([]client.TEE, error) {
	if strings.HasPrefix(strings.TrimSpace(string(data)), "[") {
		var list []client.TEE
		err := canon.DecodeJSONLoose(data, &list)
		return list, wrap(err, name)
	}
	var one client.TEE
	err := canon.DecodeJSONLoose(data, &one)
	return []client.TEE{one}, wrap(err, name)
}
