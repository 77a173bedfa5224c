package spec

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/sigilkeys/sigil/api"
)

// document is an OpenAPI 3.1 document as far as this project uses one. A
// member that isn't listed is a misspelt one, or needs code here.
type document struct {
	OpenAPI string `json:"openapi"`
	Info    struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
		License     struct {
			Name       string `json:"name"`
			Identifier string `json:"identifier"`
		} `json:"license"`
	} `json:"info"`
	Servers    []map[string]string              `json:"servers"`
	Security   []requirement                    `json:"security"`
	Paths      map[string]map[string]*described `json:"paths"` // by path and method
	Components struct {
		SecuritySchemes map[string]*scheme         `json:"securitySchemes"`
		Parameters      map[string]*parameter      `json:"parameters"`
		Headers         map[string]*header         `json:"headers"`
		Responses       map[string]*response       `json:"responses"`
		Schemas         map[string]json.RawMessage `json:"schemas"` // read by the schema compiler
		Examples        map[string]*example        `json:"examples"`
	} `json:"components"`
}

// requirement names security schemes that are met together.
type requirement map[string][]string

type scheme struct {
	Type        string `json:"type"` // apiKey, http
	In          string `json:"in"`   // header
	Name        string `json:"name"`
	Scheme      string `json:"scheme"` // bearer
	Description string `json:"description"`
}

type described struct {
	OperationID string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Description string                `json:"description"`
	Security    []requirement         `json:"security"` // nil: the document's
	Parameters  []*parameter          `json:"parameters"`
	RequestBody *requestBody          `json:"requestBody"`
	Responses   map[string]*response  `json:"responses"` // by status
	Codes       map[string][]api.Code `json:"x-error-codes"`
}

type requestBody struct {
	Required bool             `json:"required"`
	Content  map[string]media `json:"content"`
}

type parameter struct {
	Ref         string          `json:"$ref"`
	Name        string          `json:"name"`
	In          string          `json:"in"`
	Required    bool            `json:"required"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"schema"`
}

type header struct {
	Ref         string          `json:"$ref"`
	Required    bool            `json:"required"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"schema"`
}

type response struct {
	Ref         string             `json:"$ref"`
	Description string             `json:"description"`
	Headers     map[string]*header `json:"headers"`
	Content     map[string]media   `json:"content"`
}

type media struct {
	Schema   json.RawMessage     `json:"schema"`
	Examples map[string]*example `json:"examples"`
}

type example struct {
	Ref     string          `json:"$ref"`
	Summary string          `json:"summary"`
	Value   json.RawMessage `json:"value"`
}

// decode reads the YAML both as it is and into the types above.
func decode(text string) (tree []byte, d *document, err error) {
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil { // also refuses a key that stands twice
		return nil, nil, err
	}
	if tree, err = json.Marshal(v); err != nil {
		return nil, nil, err
	}
	strict := json.NewDecoder(bytes.NewReader(tree))
	strict.DisallowUnknownFields()
	d = &document{}
	if err := strict.Decode(d); err != nil {
		return nil, nil, err
	}
	if d.OpenAPI != "3.1.0" {
		return nil, nil, fmt.Errorf("openapi is %q, want 3.1.0", d.OpenAPI)
	}
	return tree, d, nil
}
