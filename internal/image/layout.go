package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Names inside an OCI image layout.
const (
	layoutFile = "oci-layout"
	indexFile  = "index.json"
	layoutMark = `{"imageLayoutVersion":"1.0.0"}`
	mediaIndex = "application/vnd.oci.image.index.v1+json"
)

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// Write makes an OCI image layout in dir, which must not exist or be empty.
// Programs like skopeo and crane push it to a registry as it is.
func (i *Image) Write(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	if len(list) != 1 {
		return fmt.Errorf("write image: %s isn't empty", dir)
	}
	ix, err := json.Marshal(index{2, mediaIndex, []descriptor{i.manifest}})
	if err != nil {
		return err
	}
	files := map[string][]byte{layoutFile: []byte(layoutMark), indexFile: ix}
	for d, b := range i.blobs {
		files[blobPath(d)] = b
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), b, 0o644); err != nil {
			return fmt.Errorf("write image: %w", err)
		}
	}
	return nil
}

func blobPath(digest string) string {
	return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:")
}

// maxBlob bounds what is read of one blob.
const maxBlob = 256 << 20

// Open reads an image layout with the one image that New would lay out from
// its two files; anything else in it, or an altered byte, is an error. So an
// opened image has no third layer, no other entry point, no other label.
func Open(dir string) (*Image, error) {
	if _, err := os.Stat(filepath.Join(dir, indexFile)); err != nil {
		return nil, fmt.Errorf("%s is no OCI image layout: %w", dir, err)
	}
	var ix index
	if err := readJSON(dir, indexFile, &ix); err != nil {
		return nil, err
	}
	if len(ix.Manifests) != 1 || ix.Manifests[0].MediaType != mediaManifest {
		return nil, fmt.Errorf("image %s: %d manifests, want one image", dir, len(ix.Manifests))
	}
	var m manifest
	if err := readJSON(dir, blobPath(ix.Manifests[0].Digest), &m); err != nil {
		return nil, err
	}
	if len(m.Layers) != 2 {
		return nil, fmt.Errorf("image %s: %d layers, want the program's and the configuration's", dir, len(m.Layers))
	}
	var c imageConfig
	if err := readJSON(dir, blobPath(m.Config.Digest), &c); err != nil {
		return nil, err
	}
	program, err := readLayer(dir, m.Layers[0], ProgramPath)
	if err != nil {
		return nil, err
	}
	config, err := readLayer(dir, m.Layers[1], ConfigPath)
	if err != nil {
		return nil, err
	}
	i, err := New(program, config, c.Architecture)
	if err != nil {
		return nil, err
	}
	if i.Digest != ix.Manifests[0].Digest {
		return nil, fmt.Errorf("image %s: its manifest is %s, but its two files make %s: something else is in it", dir, ix.Manifests[0].Digest, i.Digest)
	}
	return i, i.compareFiles(dir)
}

// compareFiles requires that the layout's blobs are the image's bytes.
func (i *Image) compareFiles(dir string) error {
	for d, want := range i.blobs {
		b, err := readFile(dir, blobPath(d))
		if err != nil {
			return err
		}
		if !bytes.Equal(b, want) {
			return fmt.Errorf("image %s: blob %s is altered", dir, d)
		}
	}
	return nil
}

func readFile(dir, name string) ([]byte, error) {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, fmt.Errorf("image %s: digest names a file outside: %q", dir, name)
	}
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxBlob+1))
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	if len(b) > maxBlob {
		return nil, fmt.Errorf("image %s: %s has more than %d bytes", dir, name, maxBlob)
	}
	return b, nil
}

func readJSON(dir, name string, v any) error {
	b, err := readFile(dir, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("image %s: %s: %w", dir, name, err)
	}
	return nil
}

// readLayer returns the file of the path from a layer. What else the layer
// may hold shows in its digest.
func readLayer(dir string, d descriptor, path string) ([]byte, error) {
	b, err := readFile(dir, blobPath(d.Digest))
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("image %s: layer %s has no %s", dir, d.Digest, path)
		}
		if err != nil {
			return nil, fmt.Errorf("image %s: layer %s: %w", dir, d.Digest, err)
		}
		if h.Typeflag == tar.TypeReg && "/"+h.Name == path {
			return io.ReadAll(r)
		}
	}
}
