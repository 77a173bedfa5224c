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
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/sigilkeys/sigil/internal/canon"
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

// Bounds of what is read of a foreign image. The documents of one of ours
// have under 2 KiB, and a configuration has a few certificates.
const (
	maxBlob     = 256 << 20
	maxDocument = 1 << 20
)

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// layout reads a folder that may come from anybody: nothing outside of it is
// opened, by whatever names and links, and nothing but regular files is read,
// since a named pipe waits for ever.
type layout struct {
	root *os.Root
	dir  string
}

// Open reads an image layout with the one image that New would lay out from
// its two files for Target: its manifest, configuration and layers byte for
// byte, and no other file in the folder. So an opened image has no third layer,
// no other entry point, no other label. The two files that say where the image
// is, which aren't part of it, may be spelt as tools spell them: index.json may
// leave its media type out, and may name the tag that the image was pulled by
// and the platform that it is for. Any other member is an error.
func Open(dir string) (*Image, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, errors.Join(fmt.Errorf("%q is no folder with an OCI image layout", dir), err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	defer root.Close()
	l := &layout{root, dir}
	i, want, err := l.image()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", dir, err)
	}
	if i.Digest != want {
		return nil, fmt.Errorf("image %s: its manifest is %s, but its two files make %s: something else is in it", dir, want, i.Digest)
	}
	if err := errors.Join(l.compare(i), l.complete(i)); err != nil {
		return nil, fmt.Errorf("image %s: %w", dir, err)
	}
	return i, nil
}

// foreignIndex is an index as Write or a tool makes it.
type foreignIndex struct {
	SchemaVersion int                 `json:"schemaVersion"`
	MediaType     string              `json:"mediaType"`
	Manifests     []foreignDescriptor `json:"manifests"`
}

type foreignDescriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
	Platform    *foreignPlatform  `json:"platform"`
}

type foreignPlatform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// annotationTag is the annotation in which skopeo keeps the tag.
const annotationTag = "org.opencontainers.image.ref.name"

// entrance reads the layout's mark and its index, and returns the index's one
// image. Names of members count with their case: a tool that reads "MANIFESTS"
// as another one sees no other image than this.
func (l *layout) entrance() (*foreignDescriptor, error) {
	var mark struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := l.strict(layoutFile, &mark); err != nil {
		return nil, err
	}
	if mark.Version != "1.0.0" {
		return nil, fmt.Errorf("%s has version %q, want 1.0.0", layoutFile, mark.Version)
	}
	var ix foreignIndex
	if err := l.strict(indexFile, &ix); err != nil {
		return nil, err
	}
	if ix.SchemaVersion != 2 || ix.MediaType != "" && ix.MediaType != mediaIndex {
		return nil, fmt.Errorf("%s is no index of version 2", indexFile)
	}
	if len(ix.Manifests) != 1 || ix.Manifests[0].MediaType != mediaManifest {
		return nil, fmt.Errorf("%d manifests, want one image", len(ix.Manifests))
	}
	d := &ix.Manifests[0]
	for name := range d.Annotations {
		if name != annotationTag {
			return nil, fmt.Errorf("%s annotates the image with %q", indexFile, name)
		}
	}
	if d.Platform != nil && *d.Platform != (foreignPlatform{Target, "linux"}) {
		return nil, fmt.Errorf("%s says that the image is for %q on %q, want linux on %s", indexFile, d.Platform.OS, d.Platform.Architecture, Target)
	}
	return d, nil
}

// complete requires that the layout has the image's files and no others. A link
// is none.
func (l *layout) complete(i *Image) error {
	var blobs []string
	for d := range i.blobs {
		blobs = append(blobs, strings.TrimPrefix(d, "sha256:"))
	}
	return errors.Join(l.only(".", []string{"blobs"}, []string{layoutFile, indexFile}),
		l.only("blobs", []string{"sha256"}, nil), l.only("blobs/sha256", nil, blobs))
}

func (l *layout) only(dir string, folders, files []string) error {
	f, err := l.root.Open(filepath.FromSlash(dir))
	if err != nil {
		return fmt.Errorf("read image: %w", err)
	}
	defer f.Close()
	list, err := f.ReadDir(len(folders) + len(files) + 1)
	if err != nil {
		return fmt.Errorf("read image: %w", err)
	}
	for _, e := range list {
		folder, file := slices.Contains(folders, e.Name()) && e.IsDir(), slices.Contains(files, e.Name()) && e.Type().IsRegular()
		if !folder && !file {
			return fmt.Errorf("%q in %s is no part of the image: something else is in it", e.Name(), dir)
		}
	}
	return nil
}

// image lays out the layout's two files anew, and returns with it the digest
// that the layout says it has.
func (l *layout) image() (*Image, string, error) {
	d, err := l.entrance()
	if err != nil {
		return nil, "", err
	}
	var m manifest
	if err := l.blobDocument(d.Digest, &m); err != nil {
		return nil, "", err
	}
	if len(m.Layers) != 2 {
		return nil, "", fmt.Errorf("%d layers, want the program's and the configuration's", len(m.Layers))
	}
	var c imageConfig
	if err := l.blobDocument(m.Config.Digest, &c); err != nil {
		return nil, "", err
	}
	if c.OS != "linux" || c.Architecture != Target {
		return nil, "", fmt.Errorf("it is for %q on %q, want linux on %s", c.OS, c.Architecture, Target)
	}
	program, err := l.layer(m.Layers[0].Digest, ProgramPath, maxBlob)
	if err != nil {
		return nil, "", err
	}
	config, err := l.layer(m.Layers[1].Digest, ConfigPath, maxDocument)
	if err != nil {
		return nil, "", err
	}
	i, err := New(program, config, c.Architecture)
	if err == nil && i.Digest == d.Digest && i.manifest.Size != d.Size {
		err = fmt.Errorf("%s gives the manifest %d bytes, it has %d", indexFile, d.Size, i.manifest.Size)
	}
	return i, d.Digest, err
}

// compare requires that the layout's blobs are the image's bytes.
func (l *layout) compare(i *Image) error {
	for d, want := range i.blobs {
		b, err := l.read(blobPath(d), maxBlob)
		if err != nil {
			return err
		}
		if !bytes.Equal(b, want) {
			return fmt.Errorf("blob %s is altered", d)
		}
	}
	return nil
}

// read returns a file's bytes. Opened without waiting, a pipe or a device is
// seen for what it is.
func (l *layout) read(name string, limit int64) ([]byte, error) {
	f, err := l.root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return b, nil
}

func (l *layout) strict(name string, v any) error {
	b, err := l.read(name, maxDocument)
	if err != nil {
		return err
	}
	if err := canon.DecodeJSONLoose(b, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// document reads what is part of the image, and so compared byte for byte
// later.
func (l *layout) document(name string, v any) error {
	b, err := l.read(name, maxDocument)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (l *layout) blobDocument(digest string, v any) error {
	if !digestForm.MatchString(digest) {
		return fmt.Errorf("%q is no digest", digest)
	}
	return l.document(blobPath(digest), v)
}

// layer returns the file of the path from a layer.
func (l *layout) layer(digest, path string, limit int64) ([]byte, error) {
	if !digestForm.MatchString(digest) {
		return nil, fmt.Errorf("%q is no digest", digest)
	}
	b, err := l.read(blobPath(digest), limit+maxFraming)
	if err != nil {
		return nil, err
	}
	data, err := fileIn(b, path)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", digest, err)
	}
	return data, nil
}

// maxFraming is more than a layer of ours has beside its file.
const maxFraming = 64 << 10

// fileIn returns the file of the path from an archive. Only what layer writes
// is read, plain folders and files: an entry of a sparse format names any size
// in a few bytes. What else the archive may hold shows in its digest.
func fileIn(archive []byte, path string) ([]byte, error) {
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("it has no %s", path)
		}
		if err != nil {
			return nil, err
		}
		if h.Format != tar.FormatUSTAR || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir || len(h.PAXRecords) > 0 || h.Size > int64(len(archive)) {
			return nil, fmt.Errorf("%q is no plain file or folder in it", h.Name)
		}
		if h.Typeflag == tar.TypeReg && "/"+h.Name == path {
			return io.ReadAll(io.LimitReader(r, int64(len(archive))))
		}
	}
}
