package cases

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Report runs cases and reports them: a line each, then the totals.
type Report struct {
	Suite  string
	Only   string // run only cases whose name contains this
	passed int
	failed int
}

// Run runs one case.
func (r *Report) Run(name string, body func() error) {
	if !strings.Contains(name, r.Only) {
		return
	}
	start := time.Now()
	if err := body(); err != nil {
		r.failed++
		fmt.Printf("%s: FAIL %s: %v\n", r.Suite, name, err)
		return
	}
	r.passed++
	fmt.Printf("%s: ok %s (%d ms)\n", r.Suite, name, time.Since(start).Milliseconds())
}

// Finish prints the totals and returns the exit status of the suite.
func (r *Report) Finish() int {
	fmt.Printf("%s: %d passed, %d failed\n", r.Suite, r.passed, r.failed)
	if r.failed > 0 || r.passed == 0 {
		return 1
	}
	return 0
}

func equal[T comparable](actual, expected T, what string) error {
	if actual != expected {
		return fmt.Errorf("%s: expected %v, got %v", what, expected, actual)
	}
	return nil
}

// refused returns nil if the error is a refusal with this code.
func refused(code string, err error) error {
	var refusal Refused
	switch {
	case err == nil:
		return fmt.Errorf("expected %s, but it succeeded", code)
	case !errors.As(err, &refusal) || refusal.Code != code:
		return fmt.Errorf("expected %s, got %v", code, err)
	}
	return nil
}

// first returns the first error; its arguments are all evaluated, so steps that must stop at a failure use `steps`.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// steps runs one function after the other up to the first error.
func steps(all ...func() error) error {
	for _, step := range all {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// eventually repeats a check until it holds: what a controller has decided reaches the brokers' metadata a moment later.
func eventually(check func() error) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err := check(); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
