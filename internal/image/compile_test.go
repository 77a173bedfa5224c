package image

import (
	"slices"
	"strings"
	"testing"
)

// Nothing of the caller's environment that decides about the bytes, or keeps
// the go command from building, reaches it.
func TestCompileEnvironment(t *testing.T) {
	outer := map[string]string{"PATH": "/bin", "HOME": "/h", "GOPROXY": "off", "GOTOOLCHAIN": "go1.26.1",
		"GO111MODULE": "off", "GOROOT": "/evil", "GOFLAGS": "-tags=x", "GODEBUG": "x=1", "GOCACHEPROG": "/evil", "GOEXPERIMENT": "none",
		"CC": "/evil", "GIT_CONFIG_GLOBAL": "/x", "LD_PRELOAD": "/evil", "GOWORK": "/w", "GOOS": "plan9", "GOARCH": "arm64", "GOAMD64": "v4", "CGO_ENABLED": "1", "GOFIPS140": "latest"}
	env := compileEnv(func(name string) (string, bool) { v, ok := outer[name]; return v, ok })
	want := []string{"CGO_ENABLED=0", "GO111MODULE=on", "GOAMD64=v1", "GOARCH=amd64", "GOEXPERIMENT=runtimesecret", "GOFIPS140=off", "GOFLAGS=-mod=readonly",
		"GOOS=linux", "GOPROXY=off", "GOTOOLCHAIN=go1.26.1", "GOWORK=off", "HOME=/h", "PATH=/bin"}
	slices.Sort(env)
	if !slices.Equal(env, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(env, " "), strings.Join(want, " "))
	}
}
