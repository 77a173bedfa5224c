package image

import (
	"encoding/json"
	"runtime/debug"
	"slices"
	"strings"
)

// The members of CycloneDX 1.6 that a Go program needs.
type bom struct {
	Format     string      `json:"bomFormat"`
	Version    string      `json:"specVersion"`
	Revision   int         `json:"version"`
	Metadata   bomMetadata `json:"metadata"`
	Components []component `json:"components"`
}

type bomMetadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref,omitempty"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []bomHash  `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type bomHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SBOM returns the bill of materials of the image as CycloneDX 1.6: what the
// program says that it was linked from, with go.sum's hashes. Like the image
// it is the same bytes for the same program.
func (i *Image) SBOM(info *debug.BuildInfo) ([]byte, error) {
	sha := func(digest string) []bomHash { return []bomHash{{"SHA-256", strings.TrimPrefix(digest, "sha256:")}} }
	b := bom{Format: "CycloneDX", Version: "1.6", Revision: 1, Metadata: bomMetadata{component{
		Type: "container", Ref: "image", Name: "sigil-tee", Hashes: sha(i.Digest),
	}}, Components: []component{
		{Type: "application", Ref: "program", Name: programPackage, Hashes: sha(digest(i.Program)), Properties: settings(info)},
		{Type: "data", Ref: "configuration", Name: ConfigPath, Hashes: sha(digest(i.Config))},
		{Type: "library", Ref: "go", Name: "std", Version: strings.TrimPrefix(info.GoVersion, "go"), PURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")},
	}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		purl := "pkg:golang/" + m.Path + "@" + m.Version
		b.Components = append(b.Components, component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl,
			Properties: []property{{"go:sum", m.Sum}}})
	}
	out, err := json.MarshalIndent(b, "", "  ")
	return append(out, '\n'), err
}

func settings(info *debug.BuildInfo) []property {
	var out []property
	for _, s := range info.Settings {
		out = append(out, property{"go:build:" + s.Key, s.Value})
	}
	slices.SortFunc(out, func(a, b property) int { return strings.Compare(a.Name, b.Name) })
	return out
}
