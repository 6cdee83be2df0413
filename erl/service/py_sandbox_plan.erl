%% SPDX-License-Identifier: Apache-2.0
%% @doc The contexts that runs of strangers' code ask for: options checked once for all
%% runs that say the same.
%%
%% A plan is found by what the user wrote, and stands in a persistent term, so that it
%% is copied neither to the caller nor from there to the context and its runtime.  No
%% term is ever replaced, which would cost all processes a garbage collection; for that
%% only so many plans are kept, and those after them are made for each run.  All of them
%% end with the application, whose configuration is in them.
-module(py_sandbox_plan).

-export([open/0, close/0, find/1]).

-define(SPARES, 2).
-define(MAX_PLANS, 64).
-define(MAX_BYTES, 8192). % of what the user wrote

-type written() :: {term(), term(), term()}.
%% Policy, runtime and spares.

%% @doc Plans are kept from now on.
-spec open() -> ok.
open() ->
    persistent_term:put(?MODULE, atomics:new(1, [])).

%% @doc No more; they are forgotten.
-spec close() -> ok.
close() ->
    Room = persistent_term:get(?MODULE, none),
    _ = [persistent_term:erase(Key) || {{R, _} = Key, _} <- persistent_term:get(), R =:= Room],
    _ = persistent_term:erase(?MODULE),
    ok.

%% @doc The options of a context for a run with these options of `py_sandbox', of which
%% `policy', `runtime' and `spares' are looked at.
-spec find(map()) -> {ok, py_context_opts:options()} | {error, {invalid, atom(), term()}}.
find(Options) ->
    Written = {maps:get(policy, Options, default), maps:get(runtime, Options, default),
               maps:get(spares, Options, ?SPARES)},
    case persistent_term:get(?MODULE, none) of
        none -> make(Written);
        Room -> find(Written, Room)
    end.

%% The room is another one each time that the application starts.
find(Written, Room) ->
    case persistent_term:get({Room, Written}, none) of
        none -> keep(make(Written), Written, Room);
        Plan -> {ok, Plan}
    end.

keep({ok, Plan} = Made, Written, Room) ->
    _ = erlang:external_size(Written) =< ?MAX_BYTES
        andalso atomics:add_get(Room, 1, 1) =< ?MAX_PLANS
        andalso persistent_term:put({Room, Written}, Plan),
    Made;
keep({error, _} = Error, _, _) ->
    Error.

-spec make(written()) -> {ok, py_context_opts:options()} | {error, {invalid, atom(), term()}}.
make({Written, Runtime, Spares}) ->
    case py_policy:check(given(Written)) of
        {ok, Policy} ->
            Bytes = py_policy:limit({output_bytes, Policy}, 1048576),
            Options = #{runtime => Runtime, ahead => Spares, single_use => true,
                        log_output => false, lane => false, output => capture,
                        output_max => Bytes},
            with_boot(py_context_opts:context(Options, Policy));
        {error, _} = Error ->
            Error
    end.

with_boot({ok, Options}) -> {ok, Options#{boot => py_context_opts:boot(Options)}};
with_boot({error, {invalid, ahead, Spares}}) -> {error, {invalid, spares, Spares}};
with_boot({error, _} = Error) -> Error.

given(Level) when is_atom(Level) ->
    given(#{level => Level});
given(#{level := Level, limits := Limits} = Map) when is_map(Limits) ->
    preloading(Map#{limits := maps:merge(run_limits(Level), Limits)});
given(#{level := _} = Map) when not is_map_key(limits, Map) ->
    given(Map#{limits => #{}});
given(#{level := _} = Map) ->
    preloading(Map);
given(Other) ->
    Other.

preloading(Map) ->
    case maps:get(preload, Map, []) of
        Names when is_list(Names) -> Map#{preload => [<<"erlang._sandboxed">> | Names]};
        _ -> Map
    end.

%% What is over is over: no state is kept for which it would be interrupted before.
run_limits(trusted) -> #{wall_ms => 5000, cpu_ms => 5000, output_bytes => 1 bsl 20};
run_limits(strict) -> #{cpu_ms => 1000};
run_limits(_) -> #{cpu_ms => 5000}.
