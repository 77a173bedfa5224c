package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	jsonx "github.com/go-json-experiment/json"

	"github.com/sigilkeys/sigil/api"
	"github.com/sigilkeys/sigil/internal/canon"
)

// Forwarded is a reply of the service to a request of somebody else's.
type Forwarded struct {
	Data json.RawMessage // as the service sent it
	// Verified says that the reply was proved as Sign, Wallets and Receipt
	// do. Replies of other routes are relayed as they are.
	Verified bool
}

// Forward signs a plain request with the client's key, sends it, and verifies
// the reply where the route is one that it knows: signatures, wallets and
// receipts. The path begins with /v1/. Errors are as those of Sign.
func (c *Client) Forward(ctx context.Context, method, path, query string, body []byte, idempotencyKey string) (*Forwarded, error) {
	if !strings.HasPrefix(path, "/v1/") {
		return nil, badArgument("path", "only /v1/ is forwarded")
	}
	root, err := c.trusted(ctx)
	if err != nil {
		return nil, err
	}
	check, err := c.checker(ctx, root, method, path, body)
	if err != nil {
		return nil, err
	}
	call, err := c.t.prepare(c.key, method, path, query, body, idempotencyKey)
	if err != nil {
		return nil, badArgument("request", "%v", err)
	}
	var data json.RawMessage
	if err := c.t.send(ctx, call, &data); err != nil {
		return nil, check.denied(ctx, call, err)
	}
	return &Forwarded{Data: data, Verified: check.accept != nil}, check.verify(ctx, call, data)
}

// checker verifies the replies of one route; nil members have nothing to do.
type checker struct {
	accept func(ctx context.Context, call *call, data []byte) error
	refuse func(ctx context.Context, call *call, err error) error
}

func (k *checker) verify(ctx context.Context, call *call, data []byte) error {
	if k.accept == nil {
		return nil
	}
	return k.accept(ctx, call, data)
}

func (k *checker) denied(ctx context.Context, call *call, err error) error {
	if k.refuse == nil {
		return err
	}
	return k.refuse(ctx, call, err)
}

func (c *Client) checker(ctx context.Context, root *root, method, path string, body []byte) (*checker, error) {
	switch {
	case path == pathSign && method == http.MethodPost:
		return c.signChecker(ctx, root, body)
	case path == pathWallets && method == http.MethodPost:
		return c.createChecker(root), nil
	case path == pathWallets && method == http.MethodGet:
		return &checker{accept: func(_ context.Context, _ *call, data []byte) error {
			var page api.List[api.Wallet]
			err := decodeData(data, &page)
			for i := 0; err == nil && i < len(page.Items); i++ {
				_, _, err = c.openWallet(root, &page.Items[i])
			}
			return err
		}}, nil
	case strings.HasPrefix(path, pathWallets+"/") && method == http.MethodGet:
		return &checker{accept: func(_ context.Context, _ *call, data []byte) error {
			var w api.Wallet
			if err := decodeData(data, &w); err != nil {
				return err
			}
			if w.ID != strings.TrimPrefix(path, pathWallets+"/") {
				return mismatch(CodeResponseMismatch, "id", "another wallet than was asked for")
			}
			_, _, err := c.openWallet(root, &w)
			return err
		}}, nil
	case strings.HasPrefix(path, "/v1/receipts/") && method == http.MethodGet:
		return &checker{accept: func(ctx context.Context, _ *call, data []byte) error {
			_, err := openFetched(ctx, root, strings.TrimPrefix(path, "/v1/receipts/"), data)
			return err
		}}, nil
	}
	return &checker{}, nil
}

func decodeData(data []byte, out any) error {
	if err := jsonx.Unmarshal(data, out); err != nil {
		return broken(CodeResponse, err, "data isn't of the expected shape")
	}
	return nil
}

// signChecker reads the body as the service will. One that it can't read is
// forwarded for the service to refuse; an answer to it is never accepted.
func (c *Client) signChecker(ctx context.Context, root *root, body []byte) (*checker, error) {
	unreadable := func(context.Context, *call, []byte) error {
		return broken(CodeSignature, nil, "the service signed a request that can't be read")
	}
	var b signBody
	if err := canon.DecodeJSONLoose(body, &b); err != nil {
		return &checker{accept: unreadable}, nil
	}
	wallet, err := canon.ParseUUID(b.WalletID)
	if err != nil {
		return &checker{accept: unreadable}, nil
	}
	cert, err := c.certs.get(ctx, wallet)
	if err != nil {
		return nil, err
	}
	operation := func(call *call) *signing {
		s := &signing{c: c, root: root, cert: cert, call: call, network: b.Network, payload: b.Payload}
		s.encode()
		return s
	}
	return &checker{
		accept: func(ctx context.Context, call *call, data []byte) error {
			var reply api.Signature
			if err := decodeData(data, &reply); err != nil {
				return err
			}
			_, err := operation(call).accept(ctx, &reply)
			return err
		},
		refuse: func(ctx context.Context, call *call, err error) error { return operation(call).denied(ctx, err) },
	}, nil
}

func (c *Client) createChecker(root *root) *checker {
	return &checker{
		accept: func(ctx context.Context, call *call, data []byte) error {
			var reply api.Wallet
			if err := decodeData(data, &reply); err != nil {
				return err
			}
			_, err := c.acceptCreated(ctx, expectCreated(root, call), &reply)
			return err
		},
		refuse: func(ctx context.Context, call *call, err error) error {
			return c.createDenied(ctx, expectCreated(root, call), err)
		},
	}
}

// IsVerification reports whether an error says that a reply can't be believed.
func IsVerification(err error) bool {
	var v *VerificationError
	return errors.As(err, &v)
}
