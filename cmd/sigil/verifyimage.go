package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sigilkeys/sigil/internal/image"
)

// errOtherProgram says that an image isn't of the release it should be of.
var errOtherProgram = errors.New("the image's program is another one")

func (a *app) verifyImageCommand() *cobra.Command {
	var source, reference string
	c := &cobra.Command{Use: "image LAYOUT", Short: "Verify a workload's container image", Args: cobra.ExactArgs(1),
		Long: `Verifies an image of sigil-tee, an OCI image layout as 'make image' writes it and
'skopeo copy --preserve-digests docker://… oci:…' fetches it: that it is the program and its
measured configuration and nothing else, with the launch policy that every
release has.

--source builds sigil-tee from a checkout, with the installed Go, and requires
the same bytes. --reference compares with another image, one of the release,
and lists the fields of the measured configuration that differ: they are what
is left for you to read. Exit code 3 says that the program is another one.`,
		Example: `  sigil verify image ./image --source ./sigil
  sigil verify image ./image --reference ./release-image`,
		RunE: func(c *cobra.Command, args []string) error {
			i, err := image.Open(args[0])
			if err != nil {
				return err
			}
			if _, err := image.CheckProgram(i.Program); err != nil {
				return err
			}
			return a.verifyImage(c.Context(), i, source, reference)
		}}
	c.Flags().StringVar(&source, "source", "", "checkout to build the program from")
	c.Flags().StringVar(&reference, "reference", "", "image layout to compare with")
	return c
}

func (a *app) verifyImage(ctx context.Context, i *image.Image, source, reference string) error {
	out := map[string]any{"image_digest": i.Digest, "image_id": i.ID, "program_layer": i.ProgramLayer, "configuration_layer": i.ConfigLayer}
	rows := [][]string{{"image", i.Digest}, {"program layer", i.ProgramLayer}}
	if source != "" {
		if err := a.rebuild(ctx, i, source); err != nil {
			return err
		}
		out["program_rebuilt"] = true
		rows = append(rows, []string{"program", "the same bytes as built from " + source})
	}
	if reference != "" {
		r, err := image.Open(reference)
		if err != nil {
			return err
		}
		if r.ProgramLayer != i.ProgramLayer {
			return fmt.Errorf("%w than that of %s (program layer %s)", errOtherProgram, reference, r.ProgramLayer)
		}
		fields, err := image.Fields(r.Config, i.Config)
		if err != nil {
			return err
		}
		out["program_equals_reference"], out["configuration_differences"] = true, fields
		rows = append(rows, []string{"program", "that of release " + r.Digest}, []string{"configuration", "the same as the release's"})
		if len(fields) > 0 {
			rows[len(rows)-1][1] = "only these fields differ from the release's:"
		}
		for _, f := range fields {
			rows = append(rows, []string{"  " + f.Name, f.A + " -> " + f.B})
		}
	}
	if source == "" && reference == "" {
		rows = append(rows, []string{"program", "not compared: give --source or --reference"})
	}
	return a.print(out, table(rows))
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
		return fmt.Errorf("%w than what %s builds, and it was built with %s, this one with %s: compare with that one", errOtherProgram, source, theirs.GoVersion, ours.GoVersion)
	}
	return fmt.Errorf("%w than what %s builds (program layer %s)", errOtherProgram, source, built.ProgramLayer)
}
