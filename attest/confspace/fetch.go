package confspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// fetch gets the issuer's keys and how long they are fresh.
func (s *KeySource) fetch(ctx context.Context) (*KeySet, time.Duration, error) {
	address := s.cfg.KeysURL
	if address == "" {
		where := strings.TrimSuffix(s.cfg.Issuer, "/") + "/.well-known/openid-configuration"
		doc, _, err := s.get(ctx, where)
		if err != nil {
			return nil, 0, fmt.Errorf("discovery document: %w", err)
		}
		if address, err = parseDiscovery(doc, s.cfg.Issuer, s.cfg.KeyHosts); err != nil {
			return nil, 0, fmt.Errorf("discovery document: %w", err)
		}
	}
	doc, header, err := s.get(ctx, address)
	if err != nil {
		return nil, 0, fmt.Errorf("key set: %w", err)
	}
	set, err := ParseKeySet(doc)
	if err != nil {
		return nil, 0, err
	}
	return set, keyLife(header), nil
}

// parseDiscovery returns where the document says that the keys are, if it is
// the issuer's and the place is an accepted one.
func parseDiscovery(doc []byte, issuer string, hosts []string) (string, error) {
	var d struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		return "", err
	}
	if !sameIssuer(d.Issuer, issuer) {
		return "", fmt.Errorf("it is of the issuer %q", clip(d.Issuer))
	}
	if err := checkURL(d.Keys); err != nil {
		return "", fmt.Errorf("jwks_uri: %w", err)
	}
	u, err := url.Parse(d.Keys)
	if err != nil {
		return "", fmt.Errorf("jwks_uri: %w", err)
	}
	if !slices.Contains(hosts, u.Host) {
		return "", fmt.Errorf("jwks_uri: host %q is not one of %q", clip(u.Host), hosts)
	}
	return d.Keys, nil
}

// get fetches one document of at most maxKeySet bytes.
func (s *KeySource) get(ctx context.Context, address string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("status %d from %s", res.StatusCode, address)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet+1))
	if err != nil {
		return nil, nil, err
	}
	if len(body) > maxKeySet {
		return nil, nil, errors.New("more than 64 KiB from " + address)
	}
	return body, res.Header, nil
}

// keyLife is max-age less Age (RFC 9111 sections 5.1 and 5.2.2.1) within the
// bounds. What is missing, contradictory or unreadable counts as the least.
func keyLife(h http.Header) time.Duration {
	life, said := maxKeyLife, false
	for _, directive := range strings.Split(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return minKeyLife
		case "max-age":
			said, life = true, min(life, seconds(strings.Trim(value, `"`), 0))
		}
	}
	if !said {
		return minKeyLife
	}
	if age := h.Get("Age"); age != "" {
		life -= seconds(age, maxKeyLife)
	}
	return max(life, minKeyLife)
}

// seconds reads a number of seconds up to a day; unreadable is the fallback.
func seconds(text string, fallback time.Duration) time.Duration {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fallback
	}
	return time.Duration(min(n, 86400)) * time.Second
}
