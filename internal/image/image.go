// Package image lays out the workload's container image: an OCI image (image
// specification 1.1) of two layers on an empty base, the program and its
// measured configuration, without a container engine or a registry.
//
// The image digest is what attestation tokens carry and what owners and KMS
// keys accept, so the same two files give the same bytes everywhere: fixed
// times and owners, layers that aren't compressed (a compressor's output
// changes with its version), JSON written from structs. Anybody with the
// program and the configuration computes the digest again, and two images of
// one release differ in the configuration layer alone.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"time"
)

// Where the two files are in the image.
const (
	ProgramPath = "/sigil-tee"
	ConfigPath  = "/etc/sigil/tee.json"
)

// Media types of the OCI image specification.
const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// Labels returns the launch policy that Confidential Space's launcher reads
// from the image: nobody replaces the command, no variable is overridden (the
// list of allowed ones is absent), no monitoring looks into the workload's
// memory. Logs leave: nothing in them is secret, and without them nobody sees
// why a workload refuses to serve.
func Labels() map[string]string {
	return map[string]string{
		"tee.launch_policy.allow_cmd_override":  "false",
		"tee.launch_policy.hardened_monitoring": "none",
		"tee.launch_policy.log_redirect":        "always",
	}
}

// Image is an image with its blobs.
type Image struct {
	Digest string // of the manifest: the image digest, "sha256:" and hex
	ID     string // of the image configuration: the token's image_id

	ProgramLayer string // digests of the layers
	ConfigLayer  string
	Program      []byte
	Config       []byte // the measured configuration

	Architecture string

	blobs    map[string][]byte // by digest
	manifest descriptor
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type imageConfig struct {
	Created      time.Time       `json:"created"`
	Architecture string          `json:"architecture"`
	OS           string          `json:"os"`
	Config       containerConfig `json:"config"`
	RootFS       rootFS          `json:"rootfs"`
	History      []history       `json:"history"`
}

type containerConfig struct {
	User         string              `json:"User"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts"`
	Entrypoint   []string            `json:"Entrypoint"`
	WorkingDir   string              `json:"WorkingDir"`
	Labels       map[string]string   `json:"Labels"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type history struct {
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
}

// New lays out an image for the architecture, in Go's words. config is the
// measured configuration; its "listen" names the port that the launcher opens.
func New(program, config []byte, architecture string) (*Image, error) {
	if len(program) == 0 || architecture == "" {
		return nil, errors.New("image: no program or architecture")
	}
	port, err := listenPort(config)
	if err != nil {
		return nil, err
	}
	i := &Image{Program: program, Config: config, Architecture: architecture, blobs: map[string][]byte{}}
	programLayer, err := layer(file{ProgramPath, 0o555, program})
	if err != nil {
		return nil, err
	}
	configLayer, err := layer(file{ConfigPath, 0o444, config})
	if err != nil {
		return nil, err
	}
	layers := []descriptor{i.add(mediaLayer, programLayer), i.add(mediaLayer, configLayer)}
	i.ProgramLayer, i.ConfigLayer = layers[0].Digest, layers[1].Digest
	epoch := time.Unix(0, 0).UTC()
	c, err := json.Marshal(imageConfig{
		Created: epoch, Architecture: architecture, OS: "linux",
		// Root inside the container: older launchers give their socket to
		// nobody else.
		Config: containerConfig{User: "0:0", ExposedPorts: map[string]struct{}{port + "/tcp": {}}, Entrypoint: []string{ProgramPath}, WorkingDir: "/", Labels: Labels()},
		RootFS: rootFS{"layers", []string{i.ProgramLayer, i.ConfigLayer}},
		History: []history{
			{epoch, "sigil: program " + ProgramPath}, {epoch, "sigil: measured configuration " + ConfigPath},
		},
	})
	if err != nil {
		return nil, err
	}
	m, err := json.Marshal(manifest{2, mediaManifest, i.add(mediaConfig, c), layers})
	if err != nil {
		return nil, err
	}
	i.ID = digest(c)
	i.manifest = i.add(mediaManifest, m)
	i.Digest = i.manifest.Digest
	return i, nil
}

func (i *Image) add(mediaType string, b []byte) descriptor {
	d := descriptor{mediaType, digest(b), int64(len(b))}
	i.blobs[d.Digest] = b
	return d
}

func digest(b []byte) string {
	d := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(d[:])
}

func listenPort(config []byte) (string, error) {
	var c struct {
		Listen string `json:"listen"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return "", fmt.Errorf("measured configuration: %w", err)
	}
	_, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return "", fmt.Errorf("measured configuration: listen: %w", err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "", fmt.Errorf("measured configuration: listen has no port: %q", c.Listen)
	}
	return port, nil
}

type file struct {
	path string // absolute
	mode int64
	data []byte
}

// layer is a tar archive (POSIX.1-1988) of the one file and its folders.
func layer(f file) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var folders []string
	for dir := path.Dir(f.path); dir != "/"; dir = path.Dir(dir) {
		folders = append([]string{dir[1:] + "/"}, folders...)
	}
	for _, name := range folders {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o555, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: f.path[1:], Mode: f.mode, Size: int64(len(f.data)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err := w.WriteHeader(h); err != nil {
		return nil, err
	}
	if _, err := w.Write(f.data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
