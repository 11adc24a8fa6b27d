// Lists the newest usage records of a workspace, one JSON line each: run it against a running core.
//
//	ONEAPI_CORE_TARGET=127.0.0.1:50051 ONEAPI_TOKEN=... go run ./examples/list-usage ws_...
//
// The token is that of a service which may read usage, finance for instance. Exit code 1 and one
// line on standard error, with the reason as the API reference names it, when core refuses.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	meteringv1 "1api.club/go/stubs/oneapi/metering/v1"
)

const (
	pageSize       = 20
	deadline       = 5 * time.Second
	nanosPerDollar = 1_000_000_000
	defaultTarget  = "127.0.0.1:50051"
)

type line struct {
	RequestID string `json:"request_id"`
	Model     string `json:"model"`
	Charge    string `json:"charge"`
}

func main() {
	workspaceID := ""
	if len(os.Args) > 1 {
		workspaceID = os.Args[1]
	}
	if err := listUsage(workspaceID); err != nil {
		fmt.Fprintln(os.Stderr, reason(err))
		os.Exit(1)
	}
}

func listUsage(workspaceID string) error {
	target := os.Getenv("ONEAPI_CORE_TARGET")
	if target == "" {
		target = defaultTarget
	}
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Getenv("ONEAPI_TOKEN"))
	request := &meteringv1.ListUsageRequest{WorkspaceId: workspaceID, PageSize: pageSize}
	answer, err := meteringv1.NewUsageServiceClient(connection).ListUsage(ctx, request)
	if err != nil {
		return err
	}
	output := json.NewEncoder(os.Stdout)
	for _, usage := range answer.GetUsages() {
		charge := dollars(usage.GetCharge().GetAmountNanos())
		if err := output.Encode(line{usage.GetRequestId(), usage.GetModel(), charge}); err != nil {
			return err
		}
	}
	return nil
}

// dollars writes a charge as a decimal string, exact to the nano-dollar: money never becomes a float.
func dollars(nanos int64) string {
	return fmt.Sprintf("%d.%09d", nanos/nanosPerDollar, nanos%nanosPerDollar)
}

// reason is the word by which a program tells one refusal from another.
func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return status.Code(err).String()
}
