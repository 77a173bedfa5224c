package attack

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sigilkeys/sigil/internal/cloudsim"
)

// iamPolicy is a key's allow policy as the API has it.
type iamPolicy struct {
	Bindings []iamBinding `json:"bindings"`
	Etag     string       `json:"etag,omitempty"`
}

type iamBinding struct {
	Role    string   `json:"role"`
	Members []string `json:"members"`
}

// unbind has the owner of the provider's project take the image's binding off
// the provider's key, over the wire: one of the two parties is enough.
func unbind(s *cloudsim.Sim, digest string) error {
	return editPolicy(s, func(p *iamPolicy) bool {
		found := false
		for i := range p.Bindings {
			p.Bindings[i].Members = slices.DeleteFunc(p.Bindings[i].Members, func(m string) bool {
				is := strings.HasPrefix(m, "principalSet:") && strings.HasSuffix(m, "/"+digest)
				found = found || is
				return is
			})
		}
		return found
	})
}

// bind undoes unbind.
func bind(s *cloudsim.Sim, digest string) error {
	pool, _, ok := strings.Cut(s.Info().ProviderAudience, "/providers/")
	if !ok {
		return fmt.Errorf("audience %s", s.Info().ProviderAudience)
	}
	return editPolicy(s, func(p *iamPolicy) bool {
		p.Bindings = append(p.Bindings, iamBinding{"roles/cloudkms.cryptoKeyEncrypterDecrypter",
			[]string{"principalSet:" + pool + "/attribute.prod_digest/" + digest}})
		return true
	})
}

func editPolicy(s *cloudsim.Sim, edit func(*iamPolicy) bool) error {
	info := s.Info()
	token, err := s.UserToken("user:release@sigil-provider.test")
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(info.CAPEM))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	call := func(verb, method string, body []byte) ([]byte, error) {
		req, err := http.NewRequest(verb, info.KMSURL+"/v1/"+info.ProviderKey+":"+method, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		reply, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s %s", method, res.Status, reply)
		}
		return reply, err
	}
	raw, err := call(http.MethodGet, "getIamPolicy", nil)
	if err != nil {
		return err
	}
	var p iamPolicy
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	if !edit(&p) {
		return fmt.Errorf("the image isn't in the policy: %s", raw)
	}
	if raw, err = json.Marshal(map[string]any{"policy": p}); err != nil {
		return err
	}
	_, err = call(http.MethodPost, "setIamPolicy", raw)
	return err
}
