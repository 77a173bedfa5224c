package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/internal/image"
	"github.com/sigilkeys/sigil/internal/teeconfig"
)

// errOtherProgram says that an image isn't of the release it should be of.
var errOtherProgram = errors.New("the image's program is another one")

// configurationError says that an image's configuration is none that a
// customer may accept unread.
type configurationError struct {
	code string
	err  error
}

func (e *configurationError) Error() string { return e.err.Error() }
func (e *configurationError) Unwrap() error { return e.err }

// imageFlags are those of `verify image`.
type imageFlags struct {
	source    string
	reference string
	config    string
}

func (a *app) verifyImageCommand() *cobra.Command {
	f := &imageFlags{}
	c := &cobra.Command{Use: "image LAYOUT", Short: "Verify a workload's container image", Args: cobra.ExactArgs(1),
		Long: `Verifies an image of sigil-tee, an OCI image layout as 'make image' writes it and
'skopeo copy --preserve-digests docker://… oci:…' fetches it: that it is the program and its
measured configuration and nothing else, with the launch policy that every
release has, and that the configuration is one that 'make image' takes.

--source builds sigil-tee from a checkout, with the installed Go, and requires
the same bytes.

The measured configuration says whom the program trusts, and decides as much as
the program does. --config names the file that you accept, after you have read
it; the image's must be the same bytes. --reference compares program and
configuration with those of another image, one of the release: members that
differ are listed, for you to read, and those that decide who gets the keys
(roots, addresses, KMS keys, identity providers, the launcher's socket) make the
command fail, unless --config says that you accept them.

Exit codes:
  0  everything that was asked for is as it should be
  1  no image of sigil-tee, or one with something else in it
  3  the program is another one
  4  the configuration is refused, isn't that of --config, or differs from the
     reference's in what decides who gets the keys`,
		Example: `  sigil verify image ./image --source ./sigil --config tee.json
  sigil verify image ./image --reference ./release-image`,
		RunE: func(c *cobra.Command, args []string) error {
			i, err := image.Open(args[0])
			if err != nil {
				return err
			}
			if _, err := image.CheckProgram(i.Program); err != nil {
				return err
			}
			return a.verifyImage(c.Context(), i, f)
		}}
	c.Flags().StringVar(&f.source, "source", "", "checkout to build the program from")
	c.Flags().StringVar(&f.reference, "reference", "", "image layout to compare program and configuration with")
	c.Flags().StringVar(&f.config, "config", "", "file with the measured configuration that is accepted")
	return c
}

// imageReport collects what `verify image` has found.
type imageReport struct {
	out  map[string]any
	rows [][]string
}

func (r *imageReport) row(name, value string) { r.rows = append(r.rows, []string{name, value}) }

func (a *app) verifyImage(ctx context.Context, i *image.Image, f *imageFlags) error {
	config, err := teeconfig.ParseForImage(i.Config)
	if err != nil {
		return &configurationError{"configuration_refused", fmt.Errorf("image %s: %w", i.Digest, err)}
	}
	r := &imageReport{out: map[string]any{"image_digest": i.Digest, "image_id": i.ID, "program_layer": i.ProgramLayer, "configuration_layer": i.ConfigLayer,
		"configuration": config.Members()}}
	r.row("image", i.Digest)
	r.row("program layer", i.ProgramLayer)
	if f.source != "" {
		if err := a.rebuild(ctx, i, f.source); err != nil {
			return err
		}
		r.out["program_rebuilt"] = true
		r.row("program", "the same bytes as built from "+f.source)
	}
	var release *image.Image
	if f.reference != "" {
		if release, err = openReference(i, f.reference); err != nil {
			return err
		}
		r.out["program_equals_reference"] = true
		r.row("program", "that of "+f.reference+", image "+release.Digest)
	}
	if f.source == "" && f.reference == "" {
		r.row("program", "not compared: give --source or --reference")
	}
	verdict, err := a.compareConfig(r, i, release, f)
	if err != nil {
		return err
	}
	if f.config == "" && f.reference == "" {
		r.row("configuration", "not compared: read it, then give --config, or --reference; its members:")
		for _, m := range config.Members() {
			r.member(m)
		}
	}
	return errors.Join(a.print(r.out, table(r.rows)), verdict)
}

func openReference(i *image.Image, path string) (*image.Image, error) {
	release, err := image.Open(path)
	if err != nil {
		return nil, err
	}
	if release.ProgramLayer != i.ProgramLayer {
		return nil, fmt.Errorf("%w than that of %s (program layer %s)", errOtherProgram, path, release.ProgramLayer)
	}
	return release, nil
}

// compareConfig reports how the configuration differs from the accepted one
// and from the release's. The verdict is an error where that mustn't pass; it
// comes after the report.
func (a *app) compareConfig(r *imageReport, i, release *image.Image, f *imageFlags) (verdict, err error) {
	if f.config != "" {
		accepted, err := read(f.config)
		if err != nil {
			return nil, err
		}
		list, err := differences(accepted, i.Config, f.config)
		if err != nil {
			return nil, err
		}
		r.out["configuration_accepted"], r.out["configuration_unaccepted"] = len(list) == 0, list
		r.differences(list, "that of "+f.config)
		if len(list) > 0 {
			a.warn(list)
			verdict = differs(list, "the image's configuration isn't that of "+f.config, "that file is what was accepted; an image with another configuration has to be read anew")
		}
	}
	if release != nil {
		list, err := differences(release.Config, i.Config, f.reference)
		if err != nil {
			return nil, err
		}
		r.out["configuration_differences"] = list
		r.differences(list, "that of "+f.reference)
		if deciding := deciding(list); len(deciding) > 0 && f.config == "" {
			a.warn(deciding)
			verdict = differs(deciding, "the image's configuration isn't the reference's in what decides who gets the keys",
				"read each of them (docs/ATTESTATION.md, step 2); then name the file that you accept with --config")
		}
	}
	return verdict, nil
}

// differences is never nil, since JSON tells null from none.
func differences(expected, found []byte, name string) ([]teeconfig.Difference, error) {
	list, err := teeconfig.Diff(expected, found)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return append([]teeconfig.Difference{}, list...), nil
}

func deciding(list []teeconfig.Difference) []teeconfig.Difference {
	var out []teeconfig.Difference
	for _, d := range list {
		if d.Decides != "" {
			out = append(out, d)
		}
	}
	return out
}

func differs(list []teeconfig.Difference, text, hint string) error {
	names := make([]string, len(list))
	for n, d := range list {
		names[n] = d.Name
	}
	return withHint(&configurationError{"configuration_differs", fmt.Errorf("%s: %s", text, strings.Join(names, ", "))}, hint)
}

// warn says of each difference in words what the member decides.
func (a *app) warn(list []teeconfig.Difference) {
	for _, d := range deciding(list) {
		a.note("warning: %s differs: %s", d.Name, d.Decides)
	}
}

// differences adds a list to the report; same is what an equal one is.
func (r *imageReport) differences(list []teeconfig.Difference, same string) {
	if len(list) == 0 {
		r.row("configuration", same)
		return
	}
	r.row("configuration", "not "+same+":")
	for _, d := range list {
		name := "  " + d.Name
		switch {
		case d.Name == teeconfig.Spelling:
			r.row(name, "it says the same in other bytes")
		case d.Expected != d.Found:
			r.row(name, d.Expected+" -> "+d.Found)
		}
		for _, c := range d.Removed {
			r.row(name, "removed "+root(c))
		}
		for _, c := range d.Added {
			r.row(name, "added "+root(c))
		}
	}
}

func (r *imageReport) member(m teeconfig.Member) {
	if len(m.Certificates) == 0 {
		r.row("  "+m.Name, m.Value)
	}
	for _, c := range m.Certificates {
		r.row("  "+m.Name, root(c))
	}
}

func root(c teeconfig.Certificate) string {
	return fmt.Sprintf("%+q (SHA-256 %s)", c.Subject, c.SHA256)
}

func (a *app) rebuild(ctx context.Context, i *image.Image, source string) error {
	dir, err := os.MkdirTemp("", "sigil-image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sigil-tee")
	a.note("building sigil-tee from %s …", source)
	if err := image.Compile(ctx, source, path); err != nil {
		return err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	theirs, err := image.CheckProgram(i.Program)
	if err != nil {
		return err
	}
	ours, err := image.CheckProgram(program)
	if err != nil {
		return err
	}
	built, err := image.New(program, i.Config, i.Architecture)
	if err != nil {
		return err
	}
	switch {
	case built.Digest == i.Digest:
		return nil
	case theirs.GoVersion != ours.GoVersion:
		return fmt.Errorf("%w than what %s builds, and it was built with %q, this one with %s: compare with that one", errOtherProgram, source, theirs.GoVersion, ours.GoVersion)
	}
	return fmt.Errorf("%w than what %s builds (program layer %s)", errOtherProgram, source, built.ProgramLayer)
}
