// Command imagegen builds the workload's container image: `make image`.
//
//	go run ./internal/imagegen -config tee.json -out dist/image
//
// It compiles sigil-tee as releases are compiled, checks the measured
// configuration as the workload will, writes an OCI image layout and beside it
// the bill of materials, and prints the image digest. It needs no container
// engine, no registry and, once the modules are there, no network.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/sigilkeys/sigil/internal/image"
	"github.com/sigilkeys/sigil/internal/networks"
	"github.com/sigilkeys/sigil/internal/teeconfig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("imagegen", flag.ContinueOnError)
	fs.SetOutput(stderr)
	source := fs.String("source", ".", "checkout to build")
	configFile := fs.String("config", "deploy/image/tee.json", "measured configuration")
	out := fs.String("out", "dist/image", "folder of the OCI image layout, replaced if it holds one")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := fs.Parse(args); err != nil {
		return err
	}
	config, err := os.ReadFile(*configFile)
	if err != nil {
		return err
	}
	measured, err := teeconfig.ParseForImage(config)
	if err == nil {
		_, err = networks.Measured(measured)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", *configFile, err)
	}
	fmt.Fprintln(stderr, "building sigil-tee …")
	i, bom, err := build(ctx, *source, config)
	if err != nil {
		return err
	}
	if err := replace(*out, i, bom); err != nil {
		return err
	}
	return report(stdout, i, *out, *asJSON)
}

// build compiles the program and lays out the image.
func build(ctx context.Context, source string, config []byte) (*image.Image, []byte, error) {
	dir, err := os.MkdirTemp("", "sigil-image")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sigil-tee")
	if err := image.Compile(ctx, source, path); err != nil {
		return nil, nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := image.CheckProgram(program)
	if err != nil {
		return nil, nil, err
	}
	i, err := image.New(program, config, image.Target)
	if err != nil {
		return nil, nil, err
	}
	bom, err := i.SBOM(info)
	return i, bom, err
}

// replace writes the layout and the bill of materials. A folder that holds
// anything but an image layout is left alone.
func replace(out string, i *image.Image, bom []byte) error {
	if _, err := os.Stat(out); err == nil {
		if _, err := os.Stat(filepath.Join(out, "oci-layout")); err != nil {
			return fmt.Errorf("%s exists and is no image layout: name another folder", out)
		}
		if err := os.RemoveAll(out); err != nil {
			return err
		}
	}
	if err := i.Write(out); err != nil {
		return err
	}
	return os.WriteFile(out+".cdx.json", bom, 0o644)
}

func report(w io.Writer, i *image.Image, out string, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]string{"image_digest": i.Digest, "image_id": i.ID, "program_layer": i.ProgramLayer,
			"configuration_layer": i.ConfigLayer, "layout": out, "sbom": out + ".cdx.json"})
	}
	_, err := fmt.Fprintf(w, "image digest   %s\nimage id       %s\nprogram layer  %s\nconfiguration  %s\nlayout         %s\nSBOM           %s.cdx.json\n",
		i.Digest, i.ID, i.ProgramLayer, i.ConfigLayer, out, out)
	return err
}
