package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// inventory asks the warehouse what is left.
type inventory struct {
	address string
	client  *http.Client
}

func newInventory(address string) *inventory {
	return &inventory{address: address, client: &http.Client{
		Timeout:   3 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
	}}
}

// of is how many of each product are left, by ID, in one question.
func (i *inventory) of(ctx context.Context, products ...product) (map[string]int, error) {
	ids := make([]string, len(products))
	for n, p := range products {
		ids[n] = p.ID
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.address+"/stock?ids="+url.QueryEscape(strings.Join(ids, ",")), nil)
	if err != nil {
		return nil, err
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("inventory: %s", resp.Status)
	}
	left := map[string]int{}
	if err := json.NewDecoder(resp.Body).Decode(&left); err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	return left, nil
}
