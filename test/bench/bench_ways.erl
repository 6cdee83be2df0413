%% SPDX-License-Identifier: Apache-2.0
%% @doc The three ways that calls are measured over, each a pool of two contexts:
%% the lane as it comes, which is the default pool; the lane without polling; the
%% socketpair alone.
-module(bench_ways).

-export([open/0, names/0, title/1, enter/3, context/2, os_pids/1, counters/1]).

-type name() :: lane | no_spin | socket.
-type ways() :: #{name() => [pid()]}.
-type where() :: 1 | 2 | routed.
%% On the first or the second context of a pool, or where the router sends the
%% caller: to the context of its scheduler.

-export_type([name/0, ways/0, where/0]).

%% @doc Start the contexts of all ways.
-spec open() -> ways().
open() ->
    Ways = #{lane => pool(default, #{}),
             no_spin => pool(no_spin, #{spin_us => 0}),
             socket => pool(socket, #{lane => false})},
    _ = [{ok, 4.0} = py:call(C, math, sqrt, [16]) || C <- lists:append(maps:values(Ways))],
    Ways.

%% A build without an option is measured as it is, and that is said.
pool(Name, Options) ->
    case py_context_router:start_pool(Name, 2, Options) of
        {ok, Contexts} ->
            Contexts;
        {error, {invalid, Key, _}} ->
            io:format(standard_error, "no option ~ts in this build: measured without~n", [Key]),
            pool(Name, maps:remove(Key, Options))
    end.

%% @doc In the order in which they are shown.
-spec names() -> [name()].
names() ->
    [lane, no_spin, socket].

%% @doc How they are called in tables.
-spec title(name()) -> string().
title(lane) -> "lane";
title(no_spin) -> "lane, spin_us 0";
title(socket) -> "socketpair alone".

%% @doc The call that is measured, for the calling process: it goes this way, to
%% this context.
-spec enter(name(), where(), ways()) -> fun(() -> {ok, float()}).
enter(lane, routed, _) ->
    ok = py_context_router:unbind_context(),
    fun() -> {ok, 4.0} = py:call(math, sqrt, [16]) end;
enter(Pool, routed, _) ->
    fun() -> {ok, 4.0} = py:call(Pool, math, sqrt, [16]) end;
enter(Way, N, Ways) ->
    ok = py_context_router:bind_context(context(Ways, {Way, N})),
    fun() -> {ok, 4.0} = py:call(math, sqrt, [16]) end.

%% @doc The N-th context of a way.
-spec context(ways(), {name(), pos_integer()}) -> pid().
context(Ways, {Way, N}) ->
    lists:nth(N, maps:get(Way, Ways)).

%% @doc The processes of contexts.
-spec os_pids([pid()]) -> [pos_integer()].
os_pids(Contexts) ->
    [begin
         {ok, #{os_pid := Pid}} = py_context:info(C),
         Pid
     end || C <- Contexts].

%% @doc The driver's counters, of these contexts together.
-spec counters([pid()]) -> #{atom() => integer()}.
counters(Contexts) ->
    lists:foldl(fun(C, Sum) ->
                    {ok, #{stats := Stats}} = py_context:info(C),
                    maps:merge_with(fun(_, A, B) -> A + B end, Sum, Stats)
                end, #{}, Contexts).
