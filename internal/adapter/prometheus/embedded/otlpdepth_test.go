package embedded

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// nested is an export whose resource has an attribute of lists in lists.
func nested(levels int) []byte {
	// Written backwards, since each level is preceded by its length.
	var b []byte
	field := func(tag byte) {
		n := binary.AppendUvarint(nil, uint64(len(b)))
		slices.Reverse(n)
		b = append(append(b, n...), tag)
	}
	for range levels {
		field(1<<3 | 2) // ArrayValue.values
		field(5<<3 | 2) // AnyValue.array_value
	}
	field(2<<3 | 2) // KeyValue.value
	b = append(b, 'k', 1, 1<<3|2)
	field(1<<3 | 2) // Resource.attributes
	field(1<<3 | 2) // ResourceMetrics.resource
	field(1<<3 | 2) // ExportMetricsServiceRequest.resource_metrics
	slices.Reverse(b)
	return b
}

// Values in values, a million levels deep, fit into the limit of a body and
// would overflow the decoder's stack, which ends the process.
func TestDeepExportsAreRefused(t *testing.T) {
	if _, err := decodeOTLP(nested(20), protobufType); err != nil {
		t.Fatalf("twenty levels: %v", err)
	}
	_, err := decodeOTLP(nested(1_600_000), protobufType)
	if err == nil || !strings.Contains(err.Error(), "levels deep") {
		t.Fatalf("1,600,000 levels: %v", err)
	}
}

// What the check passes over for being broken or a group, the decoder could
// still look into.
func TestNestingIsNotHidden(t *testing.T) {
	deep := nested(200)
	for name, before := range map[string][]byte{
		"behind a group":               {2<<3 | 3, 3 << 3, 0},
		"behind an unbalanced group":   {2<<3 | 3, 3<<3 | 4},
		"behind a field number of 0":   {0, 0},
		"behind a field of 2^29":       {0x80, 0x80, 0x80, 0x80, 0x10, 0},
		"behind a field of 2^32 and 1": {0x8a, 0x80, 0x80, 0x80, 0x80, 0x01, 0},
	} {
		if err := checkNesting(append(before, deep...), exportRequest(), 1); err == nil {
			t.Errorf("%s it is let through", name)
		}
	}
	if err := checkNesting(append([]byte{15 << 3, 7}, nested(20)...), exportRequest(), 1); err != nil {
		t.Errorf("a field that is not known: %v", err)
	}
}
