%% SPDX-License-Identifier: Apache-2.0
%% @doc What `py_asgi' and `py_wsgi' share: options, the context, the request,
%% and the forms in which headers and texts are given.
%%
%% What can not be right is thrown as `{invalid, Key, Value}' by the functions
%% that look at one value, and caught in `run/5'.
-module(py_web).

-export([run/5, text/2, bytes/2, key/2]).

-export_type([options/0, response/0, result/0]).

-include("../port/py_wire.hrl").

-define(MAX_MS, 16#ffffffff).

-type name() :: terrarium_config:name().

-type options() :: timeout()
                 | #{timeout => timeout(),
                     context => py_context:context(),
                     pool => atom(),
                     runner => name(),
                     errors => pair | map}.
%% `context' or `pool' say where; without them it is where calls of the
%% application's function go.  `runner' is a Python module that runs the
%% application in place of ours.

-type response() :: {Status :: 100..999, [{binary(), binary()}], Body :: binary()}.

-type result() :: {ok, response()} | {error, term()}.

%% @doc Have `Module' of the package `erlang' run the application; `Args' makes its
%% arguments, and may throw.
-spec run({binary(), byte()}, name(), name(), options(), fun(() -> [term()])) -> result().
run(How, Module, Callable, Options, Args) ->
    try
        Names = [text(module, Module), text(callable, Callable)],
        {Where, Timeout, Runner, Errors} = options(Options),
        Given = Args(),
        Run = fun(Context) ->
                      ask(Context, How, Names ++ Given ++ [Runner], limit(Where, Timeout), Errors)
              end,
        py_place:limited(context(Where, Module, Callable), Run)
    catch
        throw:{invalid, Key, Value} -> {error, {invalid, Key, Value}}
    end.

ask(Context, {Module, Flags}, Args, Timeout, Errors) ->
    Term = {Module, <<"run">>, Args, #{}},
    Form = {stream, default, Errors},
    case py_caller:run(Context, ?FRAME_CALL, Flags, Term, Timeout, Form) of
        {ok, {Status, Headers, Body}} = Response
          when is_integer(Status), is_list(Headers), is_binary(Body) ->
            Response;
        {ok, _} ->
            {error, {protocol, <<"no response in the answer">>}};
        {error, _} = Error ->
            Error
    end.

%%% Options

options(Timeout) when is_integer(Timeout); Timeout =:= infinity ->
    options(#{timeout => Timeout});
options(Map) when is_map(Map) ->
    maps:fold(fun option/3, {routed, default, none, default}, Map);
options(Other) ->
    throw({invalid, options, Other}).

option(timeout, T, Acc) when T =:= infinity; is_integer(T), T >= 0, T =< ?MAX_MS ->
    setelement(2, Acc, T);
option(context, Context, {routed, _, _, _} = Acc) when is_pid(Context) ->
    setelement(1, Acc, Context);
option(pool, Pool, {routed, _, _, _} = Acc) when is_atom(Pool) ->
    setelement(1, Acc, Pool);
option(runner, Runner, Acc) ->
    setelement(3, Acc, text(runner, Runner));
option(errors, Form, Acc) when Form =:= pair; Form =:= map ->
    setelement(4, Acc, Form);
option(Key, Value, _) ->
    throw({invalid, Key, Value}).

context(routed, Module, Callable) -> py_place:route(Module, Callable);
context(Where, _, _) -> py_forms:context(Where).

%% As with calls: in a context that was named there is none.
limit(Context, default) when is_pid(Context) -> infinity;
limit(_, default) -> terrarium_config:get(call_timeout);
limit(_, Timeout) -> Timeout.

%%% Values

%% @doc A text, as atom, binary or string.
-spec text(term(), term()) -> binary().
text(Key, Value) ->
    case py_prepare:text(Value) of
        error -> throw({invalid, Key, Value});
        Text -> Text
    end.

%% @doc Bytes, which are bytes in Python as well.
-spec bytes(term(), term()) -> {bytes, binary()}.
bytes(_, Value) when is_binary(Value) ->
    {bytes, Value};
bytes(Key, Value) when is_list(Value) ->
    try
        {bytes, iolist_to_binary(Value)}
    catch
        error:badarg -> throw({invalid, Key, Value})
    end;
bytes(Key, Value) when is_atom(Value) ->
    {bytes, text(Key, Value)};
bytes(Key, Value) ->
    throw({invalid, Key, Value}).

%% @doc The key of a scope or an environment.
-spec key(atom(), term()) -> binary().
key(_, Key) when is_binary(Key) ->
    Key;
key(What, Key) ->
    text(What, Key).
