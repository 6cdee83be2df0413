%% SPDX-License-Identifier: Apache-2.0
%% @doc A pool: its options, and how a caller finds its context in it.
%%
%% What callers read is one term: a tuple of contexts where each takes the one
%% of its scheduler, and `[How | Contexts]' where it is found otherwise.
-module(py_pool).

-export([spec/1, runtime_options/1, term/4, contexts/1, limit/1, is_sticky/1, pick/1,
         open_ports/0]).

-export_type([spec/0, term_/0]).

-type spec() :: #{given := map(), routing := scheduler | least_loaded | sticky,
                  max_calls := pos_integer() | infinity,
                  context := py_context_opts:options(),
                  runtime := none | terrarium_config:runtime()}.
%% Checked.  `runtime': the options of a runtime that the pool has for itself.

-type how() :: scheduler | sticky | {least, tuple(), binary()}.

-type term_() :: tuple()
               | nonempty_improper_list(how() | {limited, py_limit:limit(), how()}, tuple()).

%% What is an option of a runtime rather than of each context.
-define(RUNTIME_KEYS, [python, venv, preload, spares]).

%% @doc Check the options of a pool.
-spec spec(term()) -> {ok, spec()} | {error, {invalid, atom(), term()}}.
spec(Given) when is_map(Given) ->
    Own = maps:with(?RUNTIME_KEYS, Given),
    Rest = maps:without([routing, max_calls | ?RUNTIME_KEYS], Given),
    case {routing(Given), runtime(Own, Given), py_context_opts:context(Rest)} of
        {{error, _} = Error, _, _} -> Error;
        {_, {error, _} = Error, _} -> Error;
        {_, _, {error, _} = Error} -> Error;
        {{ok, Routing, Max}, {ok, Runtime}, {ok, Context}} ->
            {ok, #{given => Given, routing => Routing, max_calls => Max, context => Context,
                   runtime => Runtime}}
    end;
spec(Other) ->
    {error, {invalid, options, Other}}.

routing(Given) ->
    Routing = maps:get(routing, Given, scheduler),
    Max = maps:get(max_calls, Given, infinity),
    case {lists:member(Routing, [scheduler, least_loaded, sticky]), is_max(Max)} of
        {true, true} -> {ok, Routing, Max};
        {false, _} -> {error, {invalid, routing, Routing}};
        {_, false} -> {error, {invalid, max_calls, Max}}
    end.

is_max(infinity) -> true;
is_max(Max) -> is_integer(Max) andalso Max > 0 andalso Max < 1 bsl 32.

runtime(Own, _) when map_size(Own) =:= 0 ->
    {ok, none};
runtime(Own, Given) ->
    Checked = [{Key, terrarium_config:check(runtimes, #{own => #{Key => Value}})}
               || {Key, Value} <- maps:to_list(Own)],
    case [Key || {Key, error} <- Checked] of
        [] ->
            Good = [Options || {_, {ok, #{own := Options}}} <- Checked],
            Base = base(maps:get(runtime, Given, default), Own),
            {ok, lists:foldl(fun(M, Acc) -> maps:merge(Acc, M) end, Base, Good)};
        [Key | _] ->
            {error, {invalid, Key, maps:get(Key, Own)}}
    end.

%% The named runtime's options hold where the pool says nothing; an environment
%% of its own brings its own Python.
base(Name, Own) ->
    Options = maps:get(Name, terrarium_config:get(runtimes), #{}),
    case Own of
        #{venv := _} -> maps:without([python, venv], Options);
        #{python := _} -> maps:remove(venv, Options);
        _ -> Options
    end.

%% @doc The options of the runtime that this pool has for itself.
-spec runtime_options(spec()) -> none | terrarium_config:runtime().
runtime_options(#{runtime := Options}) ->
    Options.

%% @doc What callers read, for these contexts, their places and the limit.
-spec term(spec(), tuple(), {tuple(), [pos_integer()]}, py_limit:limit() | none) -> term_().
term(#{routing := scheduler}, Contexts, _, none) -> Contexts;
term(Spec, Contexts, Counts, none) -> [how(Spec, Counts) | Contexts];
term(Spec, Contexts, Counts, Limit) -> [{limited, Limit, how(Spec, Counts)} | Contexts].

how(#{routing := least_loaded}, {Ports, Places}) ->
    {least, Ports, << <<P:32/native>> || P <- Places >>};
how(#{routing := Routing}, _) ->
    Routing.

%% @doc The limit of its calls.
-spec limit(term_()) -> py_limit:limit() | none.
limit([{limited, Limit, _} | _]) -> Limit;
limit(_) -> none.

%% @doc Does a process always get the same context?
-spec is_sticky(term_()) -> boolean().
is_sticky([{limited, _, How} | _]) -> How =:= sticky;
is_sticky([How | _]) -> How =:= sticky;
is_sticky(_) -> false.

%% @doc The contexts in it.
-spec contexts(term_()) -> tuple().
contexts([_ | Contexts]) -> Contexts;
contexts(Contexts) -> Contexts.

%% @doc The caller's context, where it is not found by the scheduler alone.
-spec pick(nonempty_improper_list(term(), tuple())) -> pid().
pick([{limited, _, How} | Contexts]) ->
    pick([How | Contexts]);
pick([scheduler | Contexts]) ->
    element((erlang:system_info(scheduler_id) - 1) rem tuple_size(Contexts) + 1, Contexts);
pick([sticky | Contexts]) ->
    element(erlang:phash2(self(), tuple_size(Contexts)) + 1, Contexts);
pick([{least, Ports, Places} | Contexts]) ->
    N = erlang:system_info(scheduler_id) - 1,
    Port = element(N rem tuple_size(Ports) + 1, Ports),
    case py_port:least(Port, N, Places) of
        {ok, Least} when Least < tuple_size(Contexts) -> element(Least + 1, Contexts);
        _ -> element(N rem tuple_size(Contexts) + 1, Contexts)
    end.

%% @doc Ports through which loads are read, one for each scheduler; they belong
%% to the calling process.
-spec open_ports() -> tuple().
open_ports() ->
    list_to_tuple([py_port:open_load() || _ <- lists:seq(1, erlang:system_info(schedulers))]).
