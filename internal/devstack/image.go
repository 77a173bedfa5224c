package devstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"

	"github.com/sigilkeys/sigil/internal/cloudsim"
	"github.com/sigilkeys/sigil/internal/image"
	"github.com/sigilkeys/sigil/internal/teeconfig"
)

// launcherSocket is named in the measured configuration, so it is relative to
// the folder in which the workload runs.
const (
	launcherSocket = "launcher.sock"
	configFile     = "tee.json"
)

// hardware maps what a person types to the hwmodel of tokens.
func hardware(name string) (string, error) {
	switch name {
	case "", "sev":
		return "GCP_AMD_SEV", nil
	case "sev-snp":
		return "GCP_AMD_SEV_SNP", nil
	case "tdx":
		return "GCP_INTEL_TDX", nil
	}
	return "", fmt.Errorf("hardware %q is unknown: sev, sev-snp or tdx", name)
}

func (s *Stack) startCloud() (err error) {
	s.cloud, err = cloudsim.Start(cloudsim.Config{
		Dir: s.path("cloud"), Socket: s.path("tee", launcherSocket), Hardware: s.model,
		Random: s.cfg.Random, Clock: s.cfg.Now,
	})
	if err != nil {
		return fmt.Errorf("start the emulated cloud: %w", err)
	}
	return nil
}

// deployImage puts the workload's program and its measured configuration in
// place, and tells the cloud's launcher what it runs. The cloud admits the
// first image of a folder; another one is another release, which neither the
// owner's genesis document nor the KMS keys accept.
func (s *Stack) deployImage() error {
	config, err := s.teeConfig()
	if err != nil {
		return err
	}
	next := s.path("tee", "next.json")
	if err := writeFile(next, config, 0o600); err != nil {
		return err
	}
	measured, err := measure(s.cfg.TEEBinary, next)
	if err != nil {
		return fmt.Errorf("measure the workload's image: %w", err)
	}
	s.image = measured.Digest
	if s.state.Image == "" {
		s.state.Image = s.image
		if err := s.state.save(s.path("stack.json")); err != nil {
			return err
		}
	}
	if s.state.Image != s.image {
		return fmt.Errorf("%s was made with another build of sigil-tee (%s; this one is %s), and its wallets open in that one only: give a new folder, or that build with --tee-binary", s.dir, short(s.state.Image), short(s.image))
	}
	if err := copyProgram(s.cfg.TEEBinary, s.path("tee", nameTEE)); err != nil {
		return err
	}
	if err := os.Rename(next, s.path("tee", configFile)); err != nil {
		return err
	}
	// Measured again where it runs from: the copy is what is executed.
	if copied, err := measure(s.path("tee", nameTEE), s.path("tee", configFile)); err != nil || copied.Digest != s.image {
		return errors.Join(errors.New("the workload's image changed while it was copied"), err)
	}
	if !slices.Contains(s.cloud.Releases(), s.image) {
		if err := s.cloud.AdmitRelease(s.image); err != nil {
			return err
		}
	}
	return s.cloud.SetImage(*measured)
}

// measure is what a launcher finds of the image that `make image` would make
// of the two files.
func measure(programFile, configFile string) (*cloudsim.Image, error) {
	program, err := os.ReadFile(programFile)
	if err != nil {
		return nil, err
	}
	config, err := os.ReadFile(configFile)
	if err != nil {
		return nil, err
	}
	i, err := image.New(program, config, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	return &cloudsim.Image{Digest: i.Digest, ID: i.ID, Args: []string{image.ProgramPath}}, nil
}

func short(digest string) string {
	if len(digest) > 19 {
		return digest[:19]
	}
	return digest
}

// teeConfig returns the measured configuration. It is the same bytes on each
// start, because the cloud and the ports are the same.
func (s *Stack) teeConfig() ([]byte, error) {
	i := s.cloud.Info()
	cacheSeconds := 60
	if s.cfg.NoDEKCache {
		cacheSeconds = 0
	}
	data, err := json.MarshalIndent(&teeconfig.Config{
		Format: teeconfig.Format, Listen: address(s.state.TEEPort), LauncherSocket: launcherSocket,
		STSURL: i.STSURL, KMSURL: i.KMSURL, TLSRoots: i.CAPEM,
		TEEKey: i.TEEKey, TEEAudience: i.TEEAudience, ProviderKey: i.ProviderKey, ProviderAudience: i.ProviderAudience,
		ProjectID: i.ProjectID, DEKCacheEntries: 4096, DEKCacheSeconds: cacheSeconds, Development: true,
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	data = append(data, '\n')
	if _, _, err := teeconfig.Parse(data); err != nil {
		return nil, err
	}
	return data, nil
}

// copyProgram replaces dst by a copy of src, never writing into a file that
// may be running.
func copyProgram(src, dst string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	return replaceFile(dst, 0o700, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}
