package api

import _ "embed"

//go:embed openapi.yaml
var openAPI string

// OpenAPI returns the API's description, OpenAPI 3.1. Tests hold server,
// clients and types to it; no request is validated against it in production.
func OpenAPI() string { return openAPI }
