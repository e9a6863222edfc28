package slo

import "testing"

func TestScaled(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0", 7: "7", 34.56: "34.6", -3: "-3", 9999: "9999", 10255: "10.3 k", 34559.761: "34.6 k", 999_400: "999 k", 999_600: "1.00 M",
		1_234_000: "1.23 M", 78_184_558: "78.2 M", 2.5e9: "2.50 G", 7e15: "7000 T", -78_184_558: "-78.2 M",
	} {
		if got := Scaled(n); got != want {
			t.Errorf("%v is %q, want %q", n, got, want)
		}
	}
}
