%% SPDX-License-Identifier: Apache-2.0
%% @doc Runs WSGI applications (PEP 3333): one HTTP request, one response.
%%
%% ```
%% Environ = #{'REQUEST_METHOD' => <<"POST">>, 'PATH_INFO' => <<"/hello">>,
%%             'HTTP_HOST' => <<"example.org">>, 'wsgi.input' => Body},
%% {ok, {200, Headers, Answer}} = py_wsgi:run(my_app, application, Environ).
%% '''
%% A request is a call: its context serves one at a time.  See docs/web.md.
-module(py_wsgi).

-export([run/3, run/4]).

-export_type([environ/0]).

-type name() :: terrarium_config:name().

-type environ() :: #{name() => term()}.
%% The variables of CGI and `HTTP_*' are texts or integers; a binary's bytes are
%% passed on as they are.  `wsgi.input' is the body.  Other keys with a dot are
%% passed on, but for those that describe the server, which are ours.

%% @equiv run(Module, Callable, Environ, #{})
-spec run(name(), name(), environ()) -> py_web:result().
run(Module, Callable, Environ) ->
    run(Module, Callable, Environ, #{}).

%% @doc Run `Module.Callable' for a request.  Options: `timeout', `context' or
%% `pool', `runner', `errors'; or a timeout.
-spec run(name(), name(), environ(), py_web:options()) -> py_web:result().
run(Module, Callable, Environ, Options) ->
    py_web:run({<<"erlang._wsgi">>, 0}, Module, Callable, Options,
               fun() -> [environ(Environ)] end).

environ(Environ) when is_map(Environ) ->
    maps:fold(fun(Key, Value, Acc) ->
                      Name = py_web:key(environ, Key),
                      Acc#{Name => value(Name, Key, Value)}
              end, #{}, Environ);
environ(Other) ->
    throw({invalid, environ, Other}).

value(<<"wsgi.input">>, Key, Body) ->
    py_web:bytes(Key, Body);
value(<<"wsgi.url_scheme">>, Key, Value) ->
    py_web:text(Key, Value);
value(Name, Key, Value) ->
    case binary:match(Name, <<".">>) of
        nomatch -> variable(Key, Value);
        _ -> Value
    end.

variable(_, Value) when is_integer(Value) -> integer_to_binary(Value);
variable(Key, Value) -> py_web:text(Key, Value).
