%% SPDX-License-Identifier: Apache-2.0
%% @doc When to start again after a failure.  Pure: the caller brings the time.
%%
%% The first `free' failures in a row are repaired at once, after that the
%% pause doubles up to a maximum.  What lived long enough starts over with a
%% clean slate.
-module(py_backoff).

-export([new/1, up/2, failed/2, count/1]).

-export_type([t/0]).

-record(backoff, {policy, count = 0, up_since = none}).

-opaque t() :: #backoff{}.
%% The history of one thing that may fail.

%% @doc A clean history under this policy.
-spec new(terrarium_config:restart()) -> t().
new(Policy) ->
    #backoff{policy = Policy}.

%% @doc It works since `Now' (milliseconds).
-spec up(integer(), t()) -> t().
up(Now, B) ->
    B#backoff{up_since = Now}.

%% @doc It failed at `Now': how long to pause before the next attempt.
-spec failed(integer(), t()) -> {Pause :: non_neg_integer(), t()}.
failed(Now, #backoff{policy = Policy, count = Count0, up_since = Since} = B) ->
    #{free := Free, min_backoff := Min, max_backoff := Max, stable_ms := Stable} = Policy,
    Count = case is_integer(Since) andalso Now - Since >= Stable of
                true -> 1;
                false -> Count0 + 1
            end,
    {pause(Count - Free, Min, Max), B#backoff{count = Count, up_since = none}}.

%% @doc Failures in a row.
-spec count(t()) -> non_neg_integer().
count(#backoff{count = Count}) ->
    Count.

pause(Over, _, _) when Over =< 0 -> 0;
pause(Over, Min, Max) -> min(Max, Min bsl min(Over - 1, 20)).
