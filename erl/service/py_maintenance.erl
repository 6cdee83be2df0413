%% SPDX-License-Identifier: Apache-2.0
%% @doc The same question to every context of the default pool, all at once: memory,
%% the collector, tracing of allocations, reloading a module.
%%
%% A context that is busy answers when it is its turn; after `call_timeout' it is
%% not waited for.
-module(py_maintenance).

-export([memory_stats/0, gc/1, tracemalloc_start/1, tracemalloc_stop/0, reload/1]).

-include("../port/py_wire.hrl").

-type failed() :: {error, {failed, #{pid() => term()}} | not_started}.
%% Where it failed, and why; elsewhere it was done.

%% @doc `rss', `pss', `private', `traced_memory_current', `traced_memory_peak' in
%% bytes, of all together, and under `contexts' what is known of each, or
%% `{error, Reason}'.
-spec memory_stats() -> {ok, map()} | {error, not_started}.
memory_stats() ->
    case ask(<<"memory">>, []) of
        {ok, Answers} ->
            Each = maps:map(fun(_, {ok, Map}) -> known(Map);
                               (_, {error, _} = Error) -> Error
                            end, Answers),
            Sums = [{Key, lists:sum([maps:get(Key, M) || M <- maps:values(Each), is_map(M)])}
                    || Key <- [rss, pss, private, traced_memory_current, traced_memory_peak]],
            {ok, (maps:from_list(Sums))#{contexts => Each}};
        {error, _} = Error ->
            Error
    end.

known(Map) ->
    Keys = [rss, pss, private, pid, threads, modules, gc_count, gc_threshold, gc_stats,
            traced_memory_current, traced_memory_peak],
    maps:from_list([{Key, maps:get(atom_to_binary(Key), Map)} || Key <- Keys]).

%% @doc Run Python's collector up to this generation (0 to 2); how many objects it
%% found, in all contexts together.
-spec gc(0..2) -> {ok, non_neg_integer()} | failed() | {error, {invalid, generation, term()}}.
gc(Generation) when Generation =:= 0; Generation =:= 1; Generation =:= 2 ->
    case all(<<"collect">>, [Generation]) of
        {ok, Counts} -> {ok, lists:sum(maps:values(Counts))};
        {error, _} = Error -> Error
    end;
gc(Generation) ->
    {error, {invalid, generation, Generation}}.

%% @doc Trace allocations, with so many frames of where each was made.
-spec tracemalloc_start(1..65535) -> ok | failed() | {error, {invalid, frames, term()}}.
tracemalloc_start(Frames) when is_integer(Frames), Frames >= 1, Frames =< 65535 ->
    done(all(<<"trace_start">>, [Frames]));
tracemalloc_start(Frames) ->
    {error, {invalid, frames, Frames}}.

%% @doc Trace them no longer.
-spec tracemalloc_stop() -> ok | failed().
tracemalloc_stop() ->
    done(all(<<"trace_stop">>, [])).

done({ok, _}) -> ok;
done({error, _} = Error) -> Error.

%% @doc Reload a module in each context that has it: `reloaded' or `not_loaded'.
-spec reload(terrarium_config:name()) ->
    {ok, #{pid() => reloaded | not_loaded}} | failed() | {error, {invalid, module, term()}}.
reload(Module) ->
    case terrarium_config:name(Module) of
        {ok, Name} ->
            case all(<<"reload">>, [Name]) of
                {ok, Answers} -> {ok, maps:map(fun(_, Yes) -> reloaded(Yes) end, Answers)};
                {error, _} = Error -> Error
            end;
        error ->
            {error, {invalid, module, Module}}
    end.

reloaded(true) -> reloaded;
reloaded(false) -> not_loaded.

%% All values, or where there is none.
all(Function, Args) ->
    case ask(Function, Args) of
        {ok, Answers} ->
            case maps:from_list([{C, R} || {C, {error, R}} <- maps:to_list(Answers)]) of
                None when map_size(None) =:= 0 ->
                    {ok, maps:map(fun(_, {ok, Value}) -> Value end, Answers)};
                Failed ->
                    {error, {failed, Failed}}
            end;
        {error, _} = Error ->
            Error
    end.

ask(Function, Args) ->
    case py_context_router:contexts() of
        [] ->
            {error, not_started};
        Contexts ->
            Runs = [{C, begun(C, Function, Args)} || C <- Contexts],
            {ok, maps:from_list([{C, collected(Run)} || {C, Run} <- Runs])}
    end.

begun(Context, Function, Args) ->
    Self = self(),
    Ref = make_ref(),
    {_, Mon} = spawn_monitor(fun() -> Self ! {Ref, one(Context, Function, Args)} end),
    {Ref, Mon}.

one(Context, Function, Args) ->
    Term = {<<"erlang._maintenance">>, Function, Args, #{}},
    Timeout = terrarium_config:get(call_timeout),
    py_caller:run(Context, ?FRAME_CALL, 0, Term, Timeout, {stream, 1, pair}).

%% It ends: its request has a timeout.
collected({Ref, Mon}) ->
    receive
        {Ref, Answer} ->
            _ = erlang:demonitor(Mon, [flush]),
            Answer;
        {'DOWN', Mon, process, _, Reason} -> {error, {context_died, Reason}}
    end.
