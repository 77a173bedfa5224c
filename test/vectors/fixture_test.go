package vectors

import (
	"encoding/json"

	"github.com/sigilkeys/sigil/test/tee"
)

// fixture is a workload that signs by published keys.
type fixture struct{ *tee.Workload }

// flexible takes a JSON value of any shape.
type flexible = json.RawMessage
