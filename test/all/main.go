// Command all runs every test of the project and says what happened: the Go
// tests, the workload's packages once more in the build that is deployed, and
// the TypeScript tests. It ends with the list of skipped tests, each with its
// remedy, and one line of counts. With SIGIL_TEST_NO_SKIP=1 a skipped test
// fails the run.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

const module = "github.com/sigilkeys/sigil/"

func main() {
	os.Exit(run(os.Stdout, os.Getenv("SIGIL_TEST_NO_SKIP") == "1"))
}

func run(out io.Writer, noSkip bool) int {
	t := &tally{out: out}
	t.section("Go")
	t.goTest(nil, "./...")
	t.workloadBuild()
	t.typeScript(filepath.Join("sdk", "typescript"))
	return t.report(noSkip)
}

// workloadBuild tests what sigil-tee links as it is deployed: with
// runtime/secret and without cgo.
func (t *tally) workloadBuild() {
	if runtime.GOOS != "linux" {
		t.skip("workload build", "runtime/secret needs Linux on amd64 or arm64: run the tests there")
		return
	}
	env := []string{"GOEXPERIMENT=runtimesecret", "CGO_ENABLED=0"}
	cmd := exec.Command("go", "list", "-deps", "./cmd/sigil-tee")
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = t.out
	list, err := cmd.Output()
	if err != nil {
		t.fail("workload build", fmt.Sprintf("go list: %v", err))
		return
	}
	var packages []string
	for p := range strings.FieldsSeq(string(list)) {
		if strings.HasPrefix(p, module) {
			packages = append(packages, p)
		}
	}
	t.section("Go, workload build (" + strings.Join(env, " ") + ")")
	t.goTest(env, packages...)
}

// goTest runs go test over packages and counts its events.
func (t *tally) goTest(env []string, packages ...string) {
	cmd := exec.Command("go", append([]string{"test", "-json", "-timeout=20m"}, packages...)...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.fail("go test", err.Error())
		return
	}
	before := t.failed
	t.goEvents(stdout)
	err = cmd.Wait()
	if err != nil && t.failed == before {
		t.fail("go test", fmt.Sprintf("%v\n%s", err, stderr.Bytes()))
	}
}

// typeScript runs the SDK's own test script and counts what node's runner
// says at its end.
func (t *tally) typeScript(dir string) {
	t.section("TypeScript")
	if _, err := exec.LookPath("npm"); err != nil {
		t.skip("TypeScript tests", "npm is missing: install Node 20 and run make test again")
		return
	}
	cmd := exec.Command("npm", "test", "--silent")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	counted := t.nodeLines(bytes.NewReader(out))
	if err != nil || counted.failed > 0 {
		fmt.Fprintf(t.out, "%s\n", out)
	} else {
		fmt.Fprintf(t.out, "ok   %-32s %d tests\n", dir, counted.passed)
	}
	switch {
	case err != nil && counted.failed == 0:
		t.fail("npm test", err.Error())
	case err == nil && counted.passed+counted.failed == 0:
		t.fail("npm test", "it ran no test")
	}
}
