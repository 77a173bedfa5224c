package image

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
)

// Target is the architecture of Confidential Space.
const Target = "amd64"

const programPackage = "github.com/sigilkeys/sigil/cmd/sigil-tee"

// Compile builds the workload's program from a checkout into the file out, as
// every release is built. Two checkouts of one commit give the same bytes with
// the same Go release.
func Compile(ctx context.Context, source, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-pgo=off", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, "./cmd/sigil-tee")
	cmd.Dir = source
	cmd.Env = compileEnv(os.LookupEnv)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build sigil-tee in %s: %w\n%s", source, err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// compileEnv is the environment of the go command: of the caller's only what
// says where programs, caches and modules are and how they are reached
// (go.sum says what they are), and which Go release builds. A file of `go env
// -w` may say the rest, so what decides about the bytes is set here. The go
// command takes an empty variable for one that isn't set, so none is empty.
func compileEnv(lookup func(string) (string, bool)) []string {
	var env []string
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
		"USERPROFILE", "LOCALAPPDATA", "APPDATA", "SYSTEMROOT", "TEMP", "TMP", "PATHEXT", "COMSPEC", // of Windows
		"GOCACHE", "GOPATH", "GOMODCACHE", "GOTMPDIR", "GOENV", "GOTOOLCHAIN",
		"GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE", "GOVCS", "GOAUTH",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "SSH_AUTH_SOCK",
	} {
		if value, ok := lookup(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return append(env, "GOOS=linux", "GOARCH="+Target, "GOAMD64=v1", "CGO_ENABLED=0", "GOEXPERIMENT=runtimesecret",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOFIPS140=off", "GO111MODULE=on")
}

// CheckProgram requires that the program says of itself that it is sigil-tee
// built for an image. It guards against mistakes; that a program is what its
// source says, only building it again shows.
func CheckProgram(program []byte) (*debug.BuildInfo, error) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, fmt.Errorf("the program has no Go build information: %w", err)
	}
	if info.Path != programPackage {
		return nil, fmt.Errorf("the program is %q, want %s", info.Path, programPackage)
	}
	for _, want := range []debug.BuildSetting{
		{Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: Target}, {Key: "CGO_ENABLED", Value: "0"},
		{Key: "GOEXPERIMENT", Value: "runtimesecret"}, {Key: "-trimpath", Value: "true"},
	} {
		if !slices.Contains(info.Settings, want) {
			return nil, errors.New("the program wasn't built for an image: it lacks " + want.Key + "=" + want.Value)
		}
	}
	return info, nil
}
