%% SPDX-License-Identifier: Apache-2.0
%% @doc Runs ASGI applications: one HTTP request, one response.
%%
%% ```
%% Scope = #{method => <<"GET">>, path => <<"/hello">>,
%%           headers => [{<<"host">>, <<"example.org">>}]},
%% {ok, {200, Headers, Body}} = py_asgi:run(my_app, application, Scope, <<>>).
%% '''
%% The application is a coroutine on the event loop of its context, so many
%% requests may be under way in one context.  See docs/web.md.
-module(py_asgi).

-export([run/4, run/5]).

-export_type([scope/0, body/0]).

-include("../port/py_wire.hrl").

-type name() :: terrarium_config:name().

-type scope() :: #{name() => term()}.
%% The keys of an HTTP connection's scope, as ASGI has them; what is missing has
%% the value that a server would give it.  Keys that ASGI does not know are passed
%% on.

-type body() :: binary() | [iodata()].
%% A list of some is given to the application piece by piece.

%% @equiv run(Module, Callable, Scope, Body, #{})
-spec run(name(), name(), scope(), body()) -> py_web:result().
run(Module, Callable, Scope, Body) ->
    run(Module, Callable, Scope, Body, #{}).

%% @doc Run `Module.Callable' for a request.  Options: `timeout', `context' or
%% `pool', `runner', `errors'; or a timeout.
-spec run(name(), name(), scope(), body(), py_web:options()) -> py_web:result().
run(Module, Callable, Scope, Body, Options) ->
    Args = fun() -> [scope(Scope), chunks(Body)] end,
    py_web:run({<<"erlang._asgi">>, ?FLAG_ASYNC}, Module, Callable, Options, Args).

scope(Scope) when is_map(Scope) ->
    maps:fold(fun(Key, Value, Acc) ->
                      Name = py_web:key(scope, Key),
                      Acc#{Name => value(Name, Key, Value)}
              end, #{}, Scope);
scope(Other) ->
    throw({invalid, scope, Other}).

value(<<"type">>, Key, Value) ->
    case py_web:text(Key, Value) of
        <<"http">> = Type -> Type;
        _ -> throw({invalid, Key, Value})
    end;
value(Name, Key, Value)
  when Name =:= <<"method">>; Name =:= <<"path">>; Name =:= <<"http_version">>;
       Name =:= <<"scheme">>; Name =:= <<"root_path">> ->
    py_web:text(Key, Value);
value(<<"query_string">>, Key, Value) ->
    py_web:bytes(Key, Value);
value(<<"raw_path">>, _, none) ->
    none;
value(<<"raw_path">>, Key, Value) ->
    py_web:bytes(Key, Value);
value(<<"headers">>, Key, Headers) ->
    headers(Key, Headers);
value(Name, Key, Value) when Name =:= <<"client">>; Name =:= <<"server">> ->
    address(Key, Value);
value(Name, _, Value)
  when is_map(Value);
       Name =/= <<"state">>, Name =/= <<"extensions">>, Name =/= <<"asgi">> ->
    Value;
value(_, Key, Value) ->
    throw({invalid, Key, Value}).

headers(Key, Headers) when is_map(Headers) ->
    headers(Key, maps:to_list(Headers));
headers(Key, Headers) when length(Headers) >= 0 ->
    [header(Key, Header) || Header <- Headers];
headers(Key, Headers) ->
    throw({invalid, Key, Headers}).

header(Key, {Name, Value}) -> {py_web:bytes(Key, Name), py_web:bytes(Key, Value)};
header(Key, [Name, Value]) -> {py_web:bytes(Key, Name), py_web:bytes(Key, Value)};
header(Key, Other) -> throw({invalid, Key, Other}).

%% A host and a port; the host as text or as an address.
address(_, Nobody) when Nobody =:= none; Nobody =:= undefined ->
    none;
address(Key, [Host, Port]) ->
    address(Key, {Host, Port});
address(Key, {Host, Port}) when is_integer(Port); Port =:= none; Port =:= undefined ->
    {host(Key, Host), Port};
address(Key, Other) ->
    throw({invalid, Key, Other}).

host(Key, Host) when is_tuple(Host) ->
    case inet:ntoa(Host) of
        {error, einval} -> throw({invalid, Key, Host});
        Text -> list_to_binary(Text)
    end;
host(Key, Host) ->
    py_web:text(Key, Host).

chunks(Body) when is_binary(Body) ->
    [{bytes, Body}];
chunks([Byte | _] = Body) when is_integer(Byte) ->
    [py_web:bytes(body, Body)];
chunks(Body) when length(Body) >= 0 ->
    [py_web:bytes(body, Chunk) || Chunk <- Body];
chunks(Other) ->
    throw({invalid, body, Other}).
