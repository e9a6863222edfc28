package slo

import (
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDecimal(t *testing.T) {
	for in, want := range map[string]string{
		"99.95": "99.95", "0.999": "0.999", "1e-3": "0.001", "-14.4": "-14.4", ".5": "0.5", "5.": "5", "1_000": "1000",
		"1.50E2": "150", "0.0000000010": "0.000000001", "9000000000": "9000000000", "0e30": "0",
	} {
		d, err := ParseDecimal(in)
		if err != nil || d.String() != want {
			t.Errorf("ParseDecimal(%q) = %s, %v, want %s", in, d, err, want)
		}
	}
	for _, in := range []string{"", ".", "NaN", "+Inf", "1e", "1e99", "0.0000000001", "10000000000", "1,5", "0x10", "--1", "99.9%"} {
		if d, err := ParseDecimal(in); err == nil {
			t.Errorf("ParseDecimal(%q) = %s, want an error", in, d)
		}
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"99.95", "1e-3", "-0.5", "9223372036.854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDecimal(s)
		if err != nil {
			return
		}
		if back, err := ParseDecimal(d.String()); err != nil || back != d {
			t.Fatalf("%q is %s is %s, %v", s, d, back, err)
		}
	})
}

func TestAmountsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1e12).Draw(t, "n")
		share := Decimal(rapid.Int64Range(0, int64(One)).Draw(t, "share"))
		spent := rapid.Int64Range(0, 1e12).Draw(t, "spent")
		want := new(big.Rat).Mul(big.NewRat(n, 1), big.NewRat(int64(share), int64(One)))
		want.Sub(want, big.NewRat(spent, 1))
		a := amountOf(n, share, 1).Sub(Units(spent))
		got, ok := new(big.Rat).SetString(a.String())
		if !ok || got.Cmp(want) != 0 {
			t.Fatalf("%d × %s − %d = %s, want %s", n, share, spent, a, want.FloatString(9))
		}
	})
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{5 * time.Minute: "5m", time.Hour: "1h", 3 * day: "3d", 30 * day: "30d",
		90 * time.Minute: "90m", 10 * time.Second: "10s", 0: "0s", 1500 * time.Millisecond: "1.5s"} {
		if got := FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", d, got, want)
		}
	}
}
