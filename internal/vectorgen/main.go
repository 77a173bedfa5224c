// Command vectorgen writes the golden vectors of every format in
// docs/FORMATS.md to testdata/formats, from fixed seeds: the same bytes on
// every run. Tests in Go and TypeScript read them.
//
//	go run ./internal/vectorgen [folder]
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := filepath.Join("testdata", "formats")
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := write(dir); err != nil {
		fmt.Fprintln(os.Stderr, "vectorgen:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files, err := generate()
	if err != nil {
		return err
	}
	for _, f := range files {
		data, err := f.encode()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f.Format+".json"), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
