package image_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigilkeys/sigil/internal/image"
)

// What says where the image is, and what else lies in the folder, is as strict
// as the image. The canaries are what Write makes and what tools make of it.
func TestOpenIsStrictAroundTheImage(t *testing.T) {
	i := build(t, "program", config)
	good := fmt.Sprintf(indexOf, i.Digest, 547, "")
	more := func(members string) string { return fmt.Sprintf(indexOf, i.Digest, 547, ","+members) }
	put := func(name, text string) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
			return os.WriteFile(path, []byte(text), 0o600)
		}
	}
	index := func(text string) func(string) error { return put("index.json", text) }
	linked := func(name, to string) func(string) error {
		return func(dir string) error { return os.Symlink(to, filepath.Join(dir, name)) }
	}
	hex := strings.TrimPrefix(i.Digest, "sha256:")
	for name, c := range map[string]struct {
		edit func(dir string) error
		says string // "": it opens
	}{
		"as written":         {func(string) error { return nil }, ""},
		"as skopeo writes":   {index(more(`"annotations":{"org.opencontainers.image.ref.name":"v1"}`)), ""},
		"spaces":             {put("oci-layout", "{\n  \"imageLayoutVersion\": \"1.0.0\"\n}\n"), ""},
		"media type":         {index(strings.Replace(good, "{", `{"mediaType":"application/vnd.oci.image.index.v1+json",`, 1)), ""},
		"platform":           {index(more(`"platform":{"architecture":"amd64","os":"linux"}`)), ""},
		"no mark":            {func(dir string) error { return os.Remove(filepath.Join(dir, "oci-layout")) }, "oci-layout"},
		"another version":    {put("oci-layout", `{"imageLayoutVersion":"1.0.1"}`), "version"},
		"mark of nothing":    {put("oci-layout", `{}`), "version"},
		"mark with more":     {put("oci-layout", `{"imageLayoutVersion":"1.0.0","x":1}`), "oci-layout"},
		"mark twice":         {put("oci-layout", `{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"1.0.0"}`), "oci-layout"},
		"mark in capitals":   {put("oci-layout", `{"IMAGELAYOUTVERSION":"1.0.0"}`), "oci-layout"},
		"second manifests":   {index(strings.Replace(good, "{", `{"MANIFESTS":[],`, 1)), "MANIFESTS"},
		"manifests twice":    {index(strings.Replace(good, "{", `{"manifests":[],`, 1)), "index.json"},
		"manifests after":    {index(strings.TrimSuffix(good, "}") + `,"Manifests":[]}`), "Manifests"},
		"something after":    {index(good + "{}"), "index.json"},
		"escape signs":       {index(strings.Replace(good, "{", `{"\u001b[2J\u202e":1,`, 1)), "index.json"},
		"schema 1":           {index(strings.Replace(good, ":2,", ":1,", 1)), "version 2"},
		"index of Docker's":  {index(strings.Replace(good, "{", `{"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json",`, 1)), "version 2"},
		"size":               {index(fmt.Sprintf(indexOf, i.Digest, 546, "")), "547"},
		"size of all":        {index(fmt.Sprintf(indexOf, i.Digest, 1<<40, "")), "547"},
		"annotation":         {index(more(`"annotations":{"org.opencontainers.image.ref.name":"v1","x":"y"}`)), "annotates"},
		"annotated index":    {index(strings.Replace(good, "{", `{"annotations":{"x":"y"},`, 1)), "annotations"},
		"addresses":          {index(more(`"urls":["https://evil.test/layer"]`)), "urls"},
		"content in it":      {index(more(`"data":"e30="`)), "data"},
		"artifact":           {index(more(`"artifactType":"x/y"`)), "artifactType"},
		"another platform":   {index(more(`"platform":{"architecture":"arm64","os":"linux"}`)), "arm64"},
		"platform with more": {index(more(`"platform":{"architecture":"amd64","os":"linux","variant":"v3"}`)), "variant"},
		"another file":       {put("README", "x"), `"README"`},
		"signs in a name":    {put("\x1b[2J", "x"), `"\x1b[2J"`},
		"another folder":     {put("more/x", "x"), `"more"`},
		"another algorithm":  {put("blobs/sha512/x", "x"), `"sha512"`},
		"another blob":       {put("blobs/sha256/"+strings.Repeat("0", 64), "x"), "000"},
		"linked blob":        {linked("blobs/sha256/"+strings.Repeat("0", 64), hex), "000"},
		"blob by a link": {func(dir string) error {
			from := filepath.Join(dir, "blobs/sha256", hex)
			if err := os.Rename(from, filepath.Join(dir, "manifest")); err != nil {
				return err
			}
			return os.Symlink("../../manifest", from)
		}, "no part"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, i)
			if err := c.edit(dir); err != nil {
				t.Fatal(err)
			}
			o, err := image.Open(dir)
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("opened: %t, %v, want %q", o != nil, err, c.says)
			case err != nil && strings.ContainsAny(err.Error(), "\x1b\u202e"):
				t.Errorf("the error has the image's control characters: %q", err)
			}
		})
	}
}

// A whole image that isn't ours, with ours beside it: its manifest isn't the
// one that the two files make.
func TestOpenComparesTheManifest(t *testing.T) {
	i := build(t, "program", config)
	l := takeApart(t, write(t, i))
	l.manifest["annotations"] = map[string]string{"a": "b"}
	dir := l.write(t)
	ours, err := filepath.Glob(filepath.Join(write(t, i), "blobs/sha256/*"))
	if err != nil || len(ours) != 4 {
		t.Fatal(ours, err)
	}
	for _, path := range ours {
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "blobs/sha256", filepath.Base(path)), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if o, err := image.Open(dir); err == nil || !strings.Contains(err.Error(), "its manifest is") {
		t.Errorf("opened: %t, %v", o != nil, err)
	}
}
