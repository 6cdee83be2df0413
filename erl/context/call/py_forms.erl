%% SPDX-License-Identifier: Apache-2.0
%% @doc The forms in which a call is written, with its target found.
%%
%% A function `f' that takes a call takes any of
%% ```
%% f(M, F, A)            f(M, F, A, Kwargs)        f(M, F, A, Kwargs, Options)
%% f(Target, M, F, A)    f(Target, M, F, A, Options)
%% '''
%% where a target is a context or the name of a pool, and options are a timeout
%% or a map.  Without a target the pool is meant that the function is
%% registered for.  A routed call has the configured time limit, one to a context none.
-module(py_forms).

-export([parse/1, context/1, prepare/2, request/3, take/3]).

-export_type([form/0, options/0]).

%% No target was given: the pool that the function is registered for.
-define(ROUTED, '$routed').

-type target() :: pid() | atom().
-type options() :: timeout() | map().
-type form() :: {target(), term(), term(), term(), map(), options()}.

%% @doc The parts of a call that was written so.
-spec parse([term()]) -> {ok, form()} | {error, {invalid, atom(), term()}}.
parse([M, F, A]) ->
    {ok, {?ROUTED, M, F, A, #{}, #{}}};
parse([M, F, A, Kwargs]) when is_map(Kwargs) ->
    {ok, {?ROUTED, M, F, A, Kwargs, #{}}};
parse([Target, M, F, A]) when is_pid(Target); is_atom(Target) ->
    {ok, {Target, M, F, A, #{}, #{}}};
parse([M, F, A, Kwargs, Options]) when is_map(Kwargs) ->
    {ok, {?ROUTED, M, F, A, Kwargs, Options}};
parse([Target, M, F, A, Options]) when is_pid(Target); is_atom(Target) ->
    {ok, {Target, M, F, A, #{}, Options}};
parse([_, _, _, Kwargs]) ->
    {error, {invalid, kwargs, Kwargs}};
parse([_, _, _, Kwargs, _]) ->
    {error, {invalid, kwargs, Kwargs}}.

%% @doc The context that is meant.
-spec context(target()) -> py_place:place().
context(Context) when is_pid(Context) -> {ok, Context};
context(Pool) -> py_place:find(Pool).

%% @doc The context and the request; `Flags' of the frame besides those that the
%% options ask for.  Without a target the pool is that of the function.
-spec prepare(form(), byte()) -> {py_place:place(),
                                  {ok, py_prepare:request()} | {error, term()}}.
prepare({Target, M, F, _, _, _} = Form, Flags) ->
    case routed(Target, M, F) of
        {error, _} = Error -> {Error, Error};
        Place -> {Place, request(Place, Form, Flags)}
    end.

routed(?ROUTED, M, F) -> py_place:route(M, F);
routed(Target, _, _) -> context(Target).

%% @doc The same for a place that has been found.
-spec request(py_place:place(), form(), byte()) -> {ok, py_prepare:request()} | {error, term()}.
request(Place, {Target, M, F, A, Kwargs, Options}, Flags) ->
    case py_prepare:call(py_place:near(Place), M, F, A, Kwargs, timed(Target, Options)) of
        {ok, {Opcode, More, Term, Timeout, Errors}} ->
            {ok, {Opcode, Flags bor More, Term, Timeout, Errors}};
        {error, _} = Error ->
            Error
    end.

timed(Pool, Options) when is_atom(Pool), is_map(Options), not is_map_key(timeout, Options) ->
    Options#{timeout => terrarium_config:get(call_timeout)};
timed(_, Options) ->
    Options.

%% @doc Take an option out that is not one of calls; its value, or the default.
-spec take(atom(), form(), term()) -> {term(), form()}.
take(Key, {Target, M, F, A, Kwargs, Options}, _) when is_map_key(Key, Options) ->
    {Value, Rest} = maps:take(Key, Options),
    {Value, {Target, M, F, A, Kwargs, Rest}};
take(_, Form, Default) ->
    {Default, Form}.
